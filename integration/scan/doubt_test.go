//go:build integration

package scan

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// rewrite gives a file other content of the same size and time.
func rewrite(t *testing.T, path string) {
	t.Helper()
	st, err := os.Stat(path)
	testdest.Must(t, err)
	data, err := os.ReadFile(path)
	testdest.Must(t, err)
	data[0]++
	testdest.Must(t, os.WriteFile(path, data, 0o644))
	testdest.Must(t, os.Chtimes(path, st.ModTime(), st.ModTime()))
}

// wantContent compares the last backup with the source.
func (p *pair) wantContent(flags ...string) {
	p.t.Helper()
	out, err := exec.Command("rsync", append(flags, "-rlnic", "--delete", p.src+"/", testdest.CurrentPath(p.t, p.walk)+"/")...).CombinedOutput()
	if err != nil || len(out) > 0 {
		p.t.Errorf("the backup is not its source: %v\n%s", err, out)
	}
}

// A new ctime makes a file doubtful also if rsync compares everything.
func TestARewrittenFileUnderOtherRules(t *testing.T) {
	t.Parallel()
	plain := func(*rsbtbackup.BackupOptions) {}
	filter := func(o *rsbtbackup.BackupOptions) { o.Filter = []string{"- *.o"} }
	for name, sets := range map[string][]func(o *rsbtbackup.BackupOptions){
		"filter rules":          {filter, filter, plain},
		"options for rsync":     {func(o *rsbtbackup.BackupOptions) { o.RsyncArgs = []string{"--fuzzy"} }, plain},
		"options that send all": {func(o *rsbtbackup.BackupOptions) { o.RsyncArgs = []string{"--ignore-times"} }, plain},
		"a rule, and none":      {func(o *rsbtbackup.BackupOptions) { o.Exclude = []string{"*.o"} }, plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, "a/f", "a/g", "a/x.o", "b/g")
			for _, set := range sets {
				rewrite(t, filepath.Join(p.src, "a", "f"))
				rewrite(t, filepath.Join(p.src, "a", "x.o"))
				testdest.Must(t, os.Rename(filepath.Join(p.src, "b"), filepath.Join(p.src, fmt.Sprint("b", p.made))))
				testdest.Must(t, os.Rename(filepath.Join(p.src, fmt.Sprint("b", p.made)), filepath.Join(p.src, "b")))
				p.set = set
				p.backupAnyhow()
				p.wantContent("--exclude=*.o")
			}
			p.wantContent()
			want(t, p.backup(), rsbtbackup.ScanWalk, "")
		})
	}
}

// Where more files are doubtful than a walk can keep, all contents are compared.
func TestMoreDoubtfulFilesThanCanBeKept(t *testing.T) {
	t.Parallel()
	const files = 20_001
	p := newPair(t, "dir/0")
	name := func(i int) string { return filepath.Join(p.src, "dir", fmt.Sprint(i)) }
	for i := range files {
		testdest.Must(t, os.WriteFile(name(i), []byte("x"), 0o644))
	}
	p.backup()
	for i := range files {
		rewrite(t, name(i))
	}
	p.backupAnyhow()
	p.wantContent()
}

// A run that ended early has copied a file that is then rewritten, with its size and time put back; the next run goes
// on with what the first has copied.
func TestARewrittenFileBeforeAResumedRun(t *testing.T) {
	t.Parallel()
	early := filepath.Join(t.TempDir(), "early")
	testdest.Must(t, os.WriteFile(early, []byte("#!/bin/sh\nrsync \"$@\" || exit\ncase $* in *--version*) exit 0 ;; esac\nexit 30\n"), 0o755))
	for _, earlier := range []int{0, 1} {
		t.Run(fmt.Sprint(earlier, " earlier backups"), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, "a/f", "a/g")
			p.walk = testdest.New(t, "256M")
			for range earlier {
				p.backupAnyhow()
			}
			p.made++
			p.write("a/f", "a/h")
			o := p.options(p.walk, rsbtbackup.ScanAuto)
			o.RsyncProgram = early
			if _, err := rsbtbackup.Backup(t.Context(), o); err == nil {
				t.Fatal("rsync has ended early, and that is no error")
			}
			rewrite(t, filepath.Join(p.src, "a", "f"))
			p.made++
			r, err := rsbtbackup.Backup(t.Context(), p.options(p.walk, rsbtbackup.ScanAuto))
			testdest.Must(t, err)
			if !r.Resumed {
				t.Errorf("nothing was gone on with: %+v\n%s", r, p.log.String())
			}
			p.wantContent()
		})
	}
}

// An incomplete backup has no catalog; the next one goes by the time at which it was begun.
func TestARewrittenFileAfterAnIncompleteBackup(t *testing.T) {
	t.Parallel()
	src := filepath.Join(t.TempDir(), "src")
	dest := testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "f"), "before")
	partial := filepath.Join(t.TempDir(), "partial")
	testdest.Must(t, os.WriteFile(partial, []byte("#!/bin/sh\nrsync \"$@\" || exit\ncase $* in *--version*) exit 0 ;; esac\n"+
		"echo 'rsync: [sender] opendir \"/x\" failed: Permission denied (13)' >&2\nexit 23\n"), 0o755))
	for range 3 {
		if r := testbin.Run(t, "backup", src, dest, "--rsync", partial); r.Exit != 3 {
			t.Fatalf("exit %d: %s", r.Exit, r.Stderr)
		}
		rewrite(t, filepath.Join(src, "f"))
	}
	testbin.Must(t, "backup", src, dest)
	if got, want := testdest.Read(t, filepath.Join(testdest.CurrentPath(t, dest), "f")), testdest.Read(t, filepath.Join(src, "f")); got != want {
		t.Errorf("the backup has %q, the source %q", got, want)
	}
}

// Two directories have changed places, with files of the same names, sizes and times, and old ctimes. The last backup
// has no catalog, or had none.
func TestExchangedDirectoriesWithoutACatalog(t *testing.T) {
	t.Parallel()
	early := filepath.Join(t.TempDir(), "early")
	testdest.Must(t, os.WriteFile(early, []byte("#!/bin/sh\nrsync \"$@\" || exit\ncase $* in *--version*) exit 0 ;; esac\nexit 30\n"), 0o755))
	for name, between := range map[string]func(t *testing.T, src, dest string){
		"contents were compared": func(t *testing.T, src, dest string) { testbin.Must(t, "backup", "--checksum", src, dest) },
		"the newest was deleted": func(t *testing.T, src, dest string) {
			testdest.Write(t, filepath.Join(src, "new"), "x")
			testbin.Must(t, "backup", src, dest)
			testbin.Must(t, "delete", "--force", dest, "latest")
		},
		"it was removed": func(t *testing.T, _, dest string) {
			testdest.Must(t, os.Remove(filepath.Join(dest, ".log", "catalog")))
		},
		"a run was interrupted": func(t *testing.T, src, dest string) {
			testdest.Write(t, filepath.Join(src, "new"), "x")
			testdest.WantExit(t, testbin.Run(t, "backup", src, dest, "--scan=full", "--rsync", early), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dest := filepath.Join(t.TempDir(), "src"), testdest.New(t, "256M")
			then := time.Unix(1e9, 0)
			for _, file := range []string{"a/f", "a/deep/f", "b/f", "b/deep/f", "c/a/f", "c/b/f"} {
				testdest.Write(t, filepath.Join(src, file), filepath.Dir(file)[:1]+filepath.Base(filepath.Dir(file))[:1])
				testdest.Must(t, os.Chtimes(filepath.Join(src, file), then, then))
			}
			testdest.WaitFor(t, "the files to be old", func() bool { return time.Since(changed(t, src+"/c/b/f")) > 2200*time.Millisecond })
			testbin.Must(t, "backup", src, dest)
			between(t, src, dest)
			for _, dir := range []string{"", "c/"} {
				for _, move := range [][2]string{{"a", "x"}, {"b", "a"}, {"x", "b"}} {
					testdest.Must(t, os.Rename(filepath.Join(src, dir+move[0]), filepath.Join(src, dir+move[1])))
				}
			}
			for range 2 {
				testbin.Must(t, "backup", src, dest)
				testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--checksum")
			}
		})
	}
}

// changed is the ctime of a file.
func changed(t *testing.T, path string) time.Time {
	t.Helper()
	var st unix.Stat_t
	testdest.Must(t, unix.Lstat(path, &st))
	return time.Unix(st.Ctim.Unix())
}

// A file that changed less than two seconds before the last backup is doubtful only in a full run. Otherwise btrfs
// shows that it has not changed since; then rsync does not list the file, and could not correct its time.
func TestAYoungFileThatBtrfsKnowsKeepsItsTime(t *testing.T) {
	t.Parallel()
	src := filepath.Join(loopfs.New(t, "256M"), "src")
	dest := testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "f"), "x")
	testdest.Tool(t, "btrfs", "subvolume", "create", filepath.Join(src, "nested")) // so that this directory is looked at
	for range 4 {
		testbin.Must(t, "backup", "-x", src, dest)
		testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "-x")
	}
}

// Files with a new ctime are found also if a walk fails, or if its inode numbers mean nothing.
func TestARewrittenFileWhereAWalkIsUnreliable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file  string // rewritten
		flags []string
		made  func(t *testing.T, src string)
	}{
		"a directory cannot be entered": {file: "f", flags: []string{"--exclude=/private"}, made: func(t *testing.T, src string) {
			testdest.Must(t, os.Mkdir(filepath.Join(src, "private"), 0o700)) // root's
		}},
		"FUSE": {file: "shown/f", made: func(t *testing.T, src string) {
			showAt(t, filepath.Join(src, "shown"), func(from, point string) { testdest.Tool(t, "bindfs", from, point) })
		}},
		"overlay": {file: "shown/f", made: func(t *testing.T, src string) {
			showAt(t, filepath.Join(src, "shown"), func(from, point string) {
				upper := loopfs.NewFS(t, "64M", "ext4")
				testdest.MakeDir(t, upper+"/upper")
				testdest.MakeDir(t, upper+"/work")
				testdest.Tool(t, "mount", "-t", "overlay", "-o", "lowerdir="+from+",upperdir="+upper+"/upper,workdir="+upper+"/work", "overlay", point)
			})
		}},
		"a single file is mounted": {file: "f", made: func(t *testing.T, src string) {
			other := filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "other")
			testdest.Write(t, other, "mounted")
			testdest.Tool(t, "mount", "--bind", other, filepath.Join(src, "f"))
			t.Cleanup(func() { testdest.Tool(t, "umount", filepath.Join(src, "f")) })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dest := filepath.Join(t.TempDir(), "src"), filepath.Join(loopfs.New(t, "256M"), "dest")
			testdest.Write(t, filepath.Join(src, "f"), "before")
			c.made(t, src)
			testdest.Must(t, os.Mkdir(dest, 0o755))
			run := testbin.Run
			if c.flags != nil {
				run = testbin.AsNobody
				testdest.Tool(t, "chown", "65534", dest, src, filepath.Join(src, "f"))
				testdest.Tool(t, "chmod", "755", filepath.Dir(src), filepath.Dir(filepath.Dir(src)))
			}
			must := func(args ...string) {
				t.Helper()
				if r := run(t, args...); r.Exit != 0 {
					t.Fatalf("%q: exit %d: %s", args, r.Exit, r.Stderr)
				}
			}
			must("init", dest)
			for range 3 {
				must(append([]string{"backup", src, dest}, c.flags...)...)
				if got, want := testdest.Read(t, filepath.Join(testdest.CurrentPath(t, dest), c.file)), testdest.Read(t, filepath.Join(src, c.file)); got != want {
					t.Errorf("the backup has %q, the source %q", got, want)
				}
				rewrite(t, filepath.Join(src, c.file))
			}
		})
	}
}

// showAt shows a directory with a file f of another disk at point.
func showAt(t *testing.T, point string, show func(from, point string)) {
	t.Helper()
	from := loopfs.NewFS(t, "64M", "ext4")
	testdest.Write(t, filepath.Join(from, "f"), "before")
	testdest.MakeDir(t, point)
	show(from, point)
	t.Cleanup(func() { testdest.Tool(t, "umount", point) })
}
