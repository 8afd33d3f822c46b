//go:build integration

package restore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// Each gives one line, its exit code, and touches nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	full := p.mount + "/full"
	testdest.Write(t, full+"/file", "x")
	testdest.Write(t, p.mount+"/file", "x")
	testdest.Must(t, os.Symlink(p.mount+"/missing", p.mount+"/dangling"))
	testdest.Must(t, os.Symlink(p.dest, p.mount+"/to-dest"))
	testdest.Must(t, os.Mkdir(p.mount+"/bound", 0o700))
	testdest.Tool(t, "mount", "--bind", p.dest, p.mount+"/bound")
	t.Cleanup(func() { testdest.Tool(t, "umount", p.mount+"/bound") })
	empty := p.mount + "/empty"
	testdest.Must(t, os.Mkdir(empty, 0o700))
	before := listing(t, p.mount)
	for _, tt := range []struct {
		exit int
		want string
		args []string
	}{
		{2, `no backup is called "1999"`, []string{"restore", p.dest, "1999", "-t", empty}},
		{2, "1 backup in all", []string{"restore", p.dest, "latest~1", "-t", empty}},
		{2, `"nope" is not in`, []string{"restore", p.dest, "latest", "-t", empty, "plain", "nope"}},
		{2, `"plain/x" is not in`, []string{"restore", p.dest, "latest", "-t", empty, "plain/x"}},
		{2, "one of its parents is a symlink", []string{"restore", p.dest, "latest", "-t", empty, "inside/hosts"}},
		{2, "leads out of the backup", []string{"restore", p.dest, "latest", "-t", empty, "../x"}},
		{2, "leads out of the backup", []string{"restore", p.dest, "latest", "-t", empty, "etc/../../x"}},
		{2, "the path is empty", []string{"restore", p.dest, "latest", "-t", empty, ""}},
		{2, "give one of", []string{"restore", p.dest, "latest"}},
		{2, "give one of", []string{"restore", p.dest, "latest", "-t", empty, "--in-place"}},
		{2, "want always, if-changed", []string{"restore", p.dest, "latest", "-t", empty, "--overwrite=maybe"}},
		{13, "is not empty", []string{"restore", p.dest, "latest", "-t", full}},
		{13, p.dest + " is the directory with the backups itself", []string{"restore", p.dest, "latest", "-t", p.dest, "--overwrite=always"}},
		{13, "is the directory with the backups itself", []string{"restore", p.dest, "latest", "-t", p.mount + "/bound"}},
		{13, p.dest + "/new lies inside " + p.dest + ", which holds the backups\n", []string{"restore", p.dest, "latest", "--as-subvolume", p.dest + "/new"}},
		{13, "inside", []string{"restore", p.dest, "latest", "-t", p.dest + "/new"}},
		{13, "inside", []string{"restore", p.dest, "latest", "-t", backup + "/etc", "--overwrite=always"}},
		{13, "inside", []string{"restore", p.dest, "latest", "-t", p.dest + "/.log", "--overwrite=always"}},
		{13, "inside", []string{"restore", p.dest, "latest", "-t", p.mount + "/to-dest/new"}},
		{13, "inside", []string{"restore", p.dest, "latest", "-t", p.mount + "/bound/new"}},
		{12, "no such file", []string{"restore", p.dest, "latest", "-t", p.mount + "/missing/deep"}},
		{12, "not a directory", []string{"restore", p.dest, "latest", "-t", p.mount + "/file"}},
		{12, "file exists", []string{"restore", p.dest, "latest", "-t", p.mount + "/dangling"}},
		{2, "host name", []string{"restore", p.dest, "latest", "-t", "-oProxyCommand=x:/y", "--overwrite=always"}},
		{13, "may hold files", []string{"restore", p.dest, "latest", "-t", "nowhere.invalid:/y"}},
		{10, "not initialised", []string{"restore", p.mount, "latest", "-t", empty}},
		{2, `"nope" is not in`, []string{"ls", p.dest, "latest", "nope"}},
		{2, "leads out", []string{"ls", p.dest, "latest", ".."}},
		{2, "leads out", []string{"ls", p.dest, "latest", "outside/"}},
		{2, "no backup is called", []string{"ls", p.dest, "1999"}},
		{2, `"nope" is not in`, []string{"cat", p.dest, "latest", "nope"}},
		{2, "leads out", []string{"cat", p.dest, "latest", "outside"}},
		{2, "leads out", []string{"cat", p.dest, "latest", "../../../../etc/passwd"}},
		{2, "is a directory", []string{"cat", p.dest, "latest", "etc"}},
		{2, "is a fifo", []string{"cat", p.dest, "latest", "fifo"}},
		{2, "is a character device", []string{"cat", p.dest, "latest", "null"}},
	} {
		wantOneLine(t, testbin.Run(t, tt.args...), tt.exit, tt.want)
	}
	if after := listing(t, p.mount); after != before {
		t.Errorf("something was touched:\n%s\nwas\n%s", after, before)
	}
}

// A symlink planted in the target, where the backup has a directory or a file, is replaced in every mode but never, if
// it is older, and never followed.
func TestSymlinksInTheTargetAreNotFollowed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/dir/sub/file", "backup")
	testdest.Write(t, src+"/file", "backup")
	p.backup(t, src)
	outside := p.mount + "/outside"
	for _, tt := range []struct{ name, link, to string }{
		{"directory", "dir", outside},
		{"directory below", "dir/sub", outside},
		{"relative", "dir", "../outside"},
		{"to its like", "dir/sub", outside + "/sub"},
		{"file", "file", outside + "/file"},
		{"file below", "dir/sub/file", outside + "/file"},
		{"dangling", "dir", outside + "/missing"},
	} {
		for _, mode := range []string{"always", "if-changed", "if-newer", "never"} {
			for _, paths := range [][]string{nil, {"dir/sub/file", "file"}, {"dir/sub", "file"}, {"dir", "file"}} {
				testdest.Must(t, os.RemoveAll(outside))
				testdest.Must(t, os.RemoveAll(p.mount+"/target"))
				testdest.Write(t, outside+"/sub/victim", "victim")
				testdest.Write(t, outside+"/file", "victim")
				link := filepath.Join(p.mount, "target", tt.link)
				testdest.Must(t, os.MkdirAll(filepath.Dir(link), 0o755))
				testdest.Must(t, os.Symlink(tt.to, link))
				testdest.Tool(t, "touch", "-h", "-d", "2001-02-03", link)
				before := listing(t, outside)
				r := testbin.Run(t, append([]string{"restore", p.dest, "latest", "--delete", "-t", p.mount + "/target", "--overwrite", mode}, paths...)...)
				if after := listing(t, outside); after != before {
					t.Errorf("%s, %s, %q: the target of the link changed:\n%s\nwas\n%s\n%s", tt.name, mode, paths, after, before, r.Stderr)
				}
				if mode == "never" {
					// A symlink in the place of a directory stays, and files that belong below it are named.
					through := tt.link == "dir" || tt.link == "dir/sub"
					if !through && (r.Exit != 0 || !testdest.Exists(link)) || through && (r.Exit != 3 || !strings.Contains(r.Stderr, "Too many levels of symbolic links")) {
						t.Errorf("%s, %s, %q: exit %d\n%s", tt.name, mode, paths, r.Exit, r.Stderr)
					}
					continue
				}
				if r.Exit != 0 || testdest.Read(t, p.mount+"/target/dir/sub/file") != "backup" || testdest.Read(t, p.mount+"/target/file") != "backup" {
					t.Errorf("%s, %s, %q: exit %d, or not restored\n%s", tt.name, mode, paths, r.Exit, r.Stderr)
				}
			}
		}
	}
}

// Older rsyncs, 3.2.7 at least, go through the link.
func TestNeverWantsAnRsyncThatStopsAtLinks(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/dir/file", "backup")
	p.backup(t, src)
	old := t.TempDir() + "/rsync"
	testdest.Must(t, os.WriteFile(old, []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo 'rsync  version 3.4.9  protocol version 32' || exec rsync \"$@\"\n"), 0o755))
	target := p.mount + "/target"
	testdest.Write(t, target+"/kept", "x")
	testdest.Must(t, os.Symlink(p.mount+"/outside", target+"/dir"))
	testdest.Tool(t, "touch", "-h", "-d", "2001-02-03", target+"/dir")
	r := testbin.Run(t, "restore", p.dest, "latest", "-t", target, "--overwrite=never", "--rsync", old)
	wantOneLine(t, r, 2, "rsync 3.4.9 would follow symlinks in "+target+" with overwrite=never; 3.5.0 does not")
	if !strings.Contains(r.Stderr, "hint: to use a newer rsync: ") || !strings.Contains(r.Stderr, "--overwrite=never --rsync=/path/to/rsync") {
		t.Errorf("no hint: %s", r.Stderr)
	}
	if r := testbin.Run(t, "restore", p.dest, "latest", "-t", target, "--overwrite=never", "--rsync", old, "-n"); !strings.Contains(r.Stderr, "this would be refused: rsync 3.4.9 ") {
		t.Errorf("a dry run: exit %d\n%s", r.Exit, r.Stderr)
	}
	for _, args := range [][]string{
		{"-t", target, "--overwrite=if-newer"},
		{"-t", p.mount + "/new", "--overwrite=never"},
	} {
		p.restore(t, append(args, "--rsync", old)...)
	}
}

func TestAFullTargetExits14(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Must(t, os.Mkdir(src, 0o755))
	for _, name := range []string{"a", "b", "c"} {
		content := make([]byte, 40<<20)
		_, err := rand.Read(content)
		testdest.Must(t, err)
		testdest.Must(t, os.WriteFile(src+"/"+name, content, 0o644))
	}
	backup := p.backup(t, src)
	small := loopfs.NewFS(t, "80M", "ext4")
	p.refuse(t, 14, "full", "-t", small+"/new")
	testdest.WantSame(t, src, backup)
}

// A block of a file is damaged below the filesystem. The file is named, all else is restored.
func TestADamagedFileIsNamedAndTheRestRestored(t *testing.T) {
	t.Parallel()
	image := loopfs.NewImage(t, "1G", "btrfs")
	p := placeOn(t, image.Mount)
	src := t.TempDir()
	content := make([]byte, 300<<10)
	_, err := rand.Read(content)
	testdest.Must(t, err)
	testdest.Write(t, src+"/a/before", "before")
	testdest.Must(t, os.WriteFile(src+"/m damaged", content, 0o644))
	testdest.Write(t, src+"/z/after", "after")
	p.backup(t, src)
	image.Unmount(t)
	damage(t, image.Image, content[100<<10:][:4096])
	image.Remount(t)

	target := t.TempDir() + "/new"
	r := testbin.Run(t, "restore", p.dest, "latest", "-t", target)
	wantOneLine(t, r, 3, "m damaged")
	if !strings.Contains(r.Stdout, " restored in part to "+target+" in ") || !strings.Contains(r.Stdout, "6 files (307 kB) to restore, 1 of them not restored, or not completely; 0 deleted\n") {
		t.Errorf("the report does not tell what was not restored:\n%s", r.Stdout)
	}
	if testdest.Read(t, target+"/a/before") != "before" || testdest.Read(t, target+"/z/after") != "after" || testdest.Exists(target+"/m damaged") {
		t.Error("the rest is not restored, or the damaged file is")
	}
	report, err := rsbtbackup.Restore(t.Context(), rsbtbackup.RestoreOptions{Dest: p.dest, Backup: "latest", Target: target, Overwrite: rsbtbackup.OverwriteIfChanged})
	if !errors.Is(err, rsbtbackup.ErrIncomplete) || report.RsyncExit != 23 || report.Failed != 1 || !strings.Contains(strings.Join(report.Complaints, "\n"), p.dest) {
		t.Errorf("error %v, report %+v", err, report)
	}
	r = testbin.Run(t, "cat", p.dest, "latest", "m damaged")
	wantOneLine(t, r, 1, "input/output error")
	if len(r.Stdout) == 0 || !bytes.HasPrefix(content, []byte(r.Stdout)) {
		t.Errorf("cat wrote %d bytes, not what comes before the damage", len(r.Stdout))
	}
}

// A reflink copy of a damaged file is damaged, and reads nothing that would tell. Once verify has found the damage, all
// is read, and a subvolume, which cannot be, comes with a word about it.
func TestRestoringAKnownDamageWarns(t *testing.T) {
	t.Parallel()
	image := loopfs.NewImage(t, "1G", "btrfs")
	p := placeOn(t, image.Mount)
	src := t.TempDir()
	testdest.Write(t, src+"/a/before", "before")
	content := make([]byte, 300<<10)
	_, err := rand.Read(content)
	testdest.Must(t, err)
	testdest.Must(t, os.WriteFile(src+"/m damaged", content, 0o644))
	testdest.Write(t, src+"/z/after", "after")
	backup := p.backup(t, src)
	image.Unmount(t)
	damage(t, image.Image, content[100<<10:][:4096])
	image.Remount(t)
	if r := testbin.Run(t, "verify", "-q", p.dest); r.Exit != 1 {
		t.Fatalf("verify: exit %d\n%s", r.Exit, r.Stderr)
	}
	see := "hint: to see what is damaged, and which older backup has it intact: rsbtbackup verify " + p.dest + " latest\n"

	target := p.mount + "/target"
	r := testbin.Run(t, "restore", p.dest, "latest", "-t", target)
	wantOneLine(t, r, 3, "m damaged")
	if !strings.Contains(r.Stderr, see) || !strings.Contains(r.Stderr, filepath.Base(backup)+" is known to be damaged") {
		t.Errorf("no word about it:\n%s", r.Stderr)
	}
	if testdest.Read(t, target+"/a/before") != "before" || testdest.Read(t, target+"/z/after") != "after" || testdest.Exists(target+"/m damaged") {
		t.Error("the rest is not restored, or the damaged file is")
	}
	r = p.restore(t, "--as-subvolume", p.mount+"/clone")
	if !strings.Contains(r.Stderr, see) || !strings.Contains(r.Stderr, filepath.Base(backup)+" is known to be damaged") {
		t.Errorf("a subvolume in silence:\n%s", r.Stderr)
	}
	if r := p.restore(t, "--as-subvolume", p.mount+"/clone 2", "--json"); !strings.Contains(r.Stdout, `"notices":["`) {
		t.Errorf("--json: %s", r.Stdout)
	}
}

// damage overwrites the one place in the image that holds block.
func damage(t *testing.T, image string, block []byte) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	testdest.Must(t, err)
	defer f.Close()
	st, err := f.Stat()
	testdest.Must(t, err)
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	testdest.Must(t, err)
	defer unix.Munmap(data)
	at := bytes.Index(data, block)
	if at < 0 || bytes.Contains(data[at+1:], block) {
		t.Fatalf("the block is not in the image exactly once (first at %d)", at)
	}
	copy(data[at:], bytes.Repeat([]byte("X"), 512))
	testdest.Must(t, unix.Msync(data, unix.MS_SYNC))
}

// The backup is deleted while rsync reads it.
func TestABackupDeletedMeanwhileIsOneLine(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	for i := range 200 {
		testdest.Write(t, src+"/"+strings.Repeat("d/", i%5)+string(rune('a'+i%26))+strings.Repeat("x", i), strings.Repeat("content", 5000))
	}
	p.backup(t, src)
	testdest.Write(t, src+"/more", "x")
	backup := p.backup(t, src)
	done := make(chan testbin.Result)
	target := p.mount + "/slow"
	go func() {
		done <- testbin.Run(t, "restore", p.dest, filepath.Base(backup), "--bwlimit=400", "-t", target)
	}()
	for !testdest.Exists(target+"/"+"axxxx") && !testdest.Exists(target+"/d") && len(names(target)) == 0 {
		select {
		case r := <-done:
			t.Fatalf("too fast: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
		default:
		}
	}
	testbin.Must(t, "delete", "--force", p.dest, filepath.Base(backup))
	r := <-done
	wantOneLine(t, r, 1, "deleted while it was read")
}

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// newPlaceWithoutCache has a backup of src that was made without src/cache.
func newPlaceWithoutCache(t testing.TB) (p place, src string) {
	p = newPlace(t)
	src = p.mount + "/src"
	testdest.Write(t, src+"/file", "kept")
	testdest.Write(t, src+"/cache/file", "left out")
	p.backup(t, src, "--exclude=cache")
	return p, src
}

// What an incomplete backup, or one with rules, does not have may well be in its source.
func TestDeleteByABackupThatLacksSomethingIsRefused(t *testing.T) {
	t.Parallel()
	p, src := newPlaceWithoutCache(t)
	inPlace := []string{"--in-place", "--overwrite=if-changed", "--delete"}
	p.refuse(t, 13, "was made with --exclude=cache", inPlace...)
	refused := testbin.Run(t, append([]string{"restore", p.dest, "latest"}, inPlace...)...)
	for _, want := range []string{"hint: to keep it: ", " --delete --exclude=cache\n", "hint: to delete it nevertheless: ", " --delete --force\n"} {
		if !strings.Contains(refused.Stderr, want) {
			t.Errorf("no %q in %s", want, refused.Stderr)
		}
	}
	testdest.Write(t, src+"/gone", "gone")
	p.restore(t, append(inPlace, "--exclude=cache")...)
	if testdest.Exists(src+"/gone") || testdest.Read(t, src+"/cache/file") != "left out" {
		t.Error("with the same --exclude gone stayed, or cache did not")
	}
	if got := testdest.Read(t, src+"/cache/file"); got != "left out" {
		t.Errorf("cache: %q", got)
	}
	r := p.restore(t, append(inPlace, "-n")...)
	if !strings.Contains(r.Stderr, "would be refused") || !strings.Contains(r.Stdout, "*deleting   cache/") {
		t.Errorf("the dry run: %s%s", r.Stdout, r.Stderr)
	}
	p.restore(t, append(inPlace, "--force")...)
	if testdest.Exists(src + "/cache") {
		t.Error("cache is there after --force")
	}
	p.backup(t, src)
	p.restore(t, inPlace...)
}

// Without its record nobody knows by which rules a backup was made.
func TestDeleteByABackupWithoutARecordIsRefused(t *testing.T) {
	t.Parallel()
	p, src := newPlaceWithoutCache(t)
	records, err := filepath.Glob(p.dest + "/.log/records/*.json")
	if err != nil || len(records) != 1 {
		t.Fatalf("records: %q, %v", records, err)
	}
	testdest.Must(t, os.Remove(records[0]))
	p.refuse(t, 13, "no record says how", "-t", src, "--overwrite=if-changed", "--delete")
	testbin.Must(t, "pin", p.dest, "latest") // its record does not say it either
	p.refuse(t, 13, "no record says how", "-t", src, "--overwrite=if-changed", "--delete")
	if !testdest.Exists(src + "/cache/file") {
		t.Error("cache is gone")
	}
	p.restore(t, "-t", src, "--overwrite=if-changed")
	p.restore(t, "-t", src, "--overwrite=if-changed", "--delete", "--force")
}

// Nothing is written into, or deleted from, any directory with backups.
func TestOtherDestsAreLeftAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	testdest.Write(t, p.mount+"/src/file", "1")
	p.backup(t, p.mount+"/src")
	other := place{dest: testdest.Init(t, p.mount+"/target/other")}
	other.backup(t, p.mount+"/src")
	before := listing(t, other.dest)
	p.refuse(t, 13, "holds backups", "-t", other.dest, "--overwrite=always", "--delete")
	p.refuse(t, 13, "holds backups", "-t", other.dest+"/new")
	p.refuse(t, 13, "holds backups", "-t", other.dest+"/cur", "--overwrite=always")
	p.refuse(t, 13, "holds backups", "--as-subvolume", other.dest+"/2030-01-01-00:00")
	testdest.Write(t, p.mount+"/target/gone", "gone")
	p.restore(t, "-t", p.mount+"/target", "--overwrite=always", "--delete")
	if after := listing(t, other.dest); after != before {
		t.Errorf("changed:\n%s\nwas\n%s", after, before)
	}
	if testdest.Exists(p.mount+"/target/gone") || !testdest.Exists(p.mount+"/target/file") {
		t.Error("the rest was not restored, or not deleted")
	}
}

// For rsync a PATH that is a subvolume in the target is no other filesystem.
func TestADestInASubvolumeOfTheTargetIsLeftAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	testdest.Write(t, p.mount+"/src/srv/file", "1")
	p.backup(t, p.mount+"/src")
	testdest.Must(t, os.Mkdir(p.mount+"/target", 0o755))
	testdest.Tool(t, "btrfs", "subvolume", "create", p.mount+"/target/srv")
	other := place{dest: testdest.Init(t, p.mount+"/target/srv/other")}
	other.backup(t, p.mount+"/src")
	testdest.Write(t, other.dest+"/README", "1")
	before := listing(t, other.dest)
	p.restore(t, "srv", "-t", p.mount+"/target", "--overwrite=always", "--delete")
	if after := listing(t, other.dest); after != before {
		t.Errorf("changed:\n%s\nwas\n%s", after, before)
	}
}

// A mount below the target was not in the source, or has a backup of its own.
func TestDeleteStaysOnItsFilesystem(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Must(t, os.MkdirAll(src+"/mnt", 0o755))
	testdest.Write(t, src+"/file", "1")
	p.backup(t, src)
	testdest.Must(t, unix.Mount("none", src+"/mnt", "tmpfs", 0, "size=1M"))
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(src+"/mnt", unix.MNT_DETACH)) })
	testdest.Tool(t, "btrfs", "subvolume", "create", src+"/home")
	testdest.Write(t, src+"/mnt/file", "mounted")
	testdest.Write(t, src+"/home/file", "subvolume")
	testdest.Write(t, src+"/gone", "gone")
	p.restore(t, "--in-place", "--overwrite=if-changed", "--delete")
	if testdest.Exists(src+"/gone") || testdest.Read(t, src+"/mnt/file") != "mounted" || testdest.Read(t, src+"/home/file") != "subvolume" {
		t.Error("gone stayed, or what is mounted did not")
	}
}

// A sticky directory makes rsync run twice. A file that the first run could not write has the size and time that the
// second one compares.
func TestASecondRunHidesNoFailure(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src, target := p.mount+"/src", p.mount+"/target"
	for _, dir := range []string{src, target} {
		testdest.Write(t, dir+"/file", filepath.Base(dir)[:3])
		testdest.Must(t, os.Chtimes(dir+"/file", time.Unix(1, 0), time.Unix(1, 0)))
	}
	testdest.Must(t, os.Mkdir(src+"/sticky", 0o755))
	testdest.Tool(t, "setfacl", "-m", "u:1000:rwx,g::rwx", src+"/sticky")
	testdest.Tool(t, "chmod", "+t", src+"/sticky")
	p.backup(t, src)
	testdest.Tool(t, "chattr", "+i", target+"/file")
	t.Cleanup(func() { testdest.Tool(t, "chattr", "-i", target+"/file") })
	p.refuse(t, 3, "file", "-t", target, "--overwrite=always")
}

func TestAnAttributeThatDoesNotFitIsNoFullDisk(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	testdest.Write(t, p.mount+"/src/file", "1")
	testdest.Must(t, unix.Setxattr(p.mount+"/src/file", "user.long", make([]byte, 8000), 0))
	p.backup(t, p.mount+"/src")
	p.refuse(t, 3, "user.long", "-t", loopfs.NewFS(t, "80M", "ext4")+"/new")
}

func TestACancelledRestoreSaysSo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	testdest.Write(t, p.mount+"/src/file", "1")
	p.backup(t, p.mount+"/src")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, paths := range [][]string{nil, {"file"}} {
		_, err := rsbtbackup.Restore(ctx, rsbtbackup.RestoreOptions{Dest: p.dest, Backup: "latest", Target: t.TempDir(), Paths: paths})
		_, onBtrfs := rsbtbackup.Restore(ctx, rsbtbackup.RestoreOptions{Dest: p.dest, Backup: "latest", Target: p.mount + "/new", Paths: paths})
		if !errors.Is(err, context.Canceled) || !errors.Is(onBtrfs, context.Canceled) {
			t.Errorf("%q: %v; by reflink: %v", paths, err, onBtrfs)
		}
	}
}

// A target that cannot be written to is refused before anything is tried; a dry run only reads it.
func TestATargetMountedReadOnly(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/file", "backup")
	p.backup(t, src)
	target := loopfs.NewFS(t, "64M", "ext4")
	testdest.Tool(t, "mount", "-o", "remount,ro", target)
	for _, flags := range [][]string{{"--overwrite=always"}, {"--overwrite=never"}, {"file"}} {
		r := testbin.Run(t, append([]string{"restore", p.dest, "latest", "-t", target}, flags...)...)
		if r.Exit != 12 || !strings.Contains(r.Stderr, "write to "+target+": read-only file system") {
			t.Errorf("%v: exit %d, %s", flags, r.Exit, r.Stderr)
		}
	}
	testbin.Must(t, "restore", p.dest, "latest", "-t", target, "--overwrite=always", "--dry-run")
}
