//go:build integration

package replica

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// compared is what --against-copy said.
type compared struct {
	testbin.Result
	differs map[string]string // what differs, by the path
	report  rsbtbackup.AgainstCopyReport
}

func compareCopies(t testing.TB, args ...string) compared {
	t.Helper()
	c := compared{Result: testbin.Run(t, append([]string{"verify", "--json"}, args...)...), differs: map[string]string{}}
	for line := range strings.Lines(c.Stdout) {
		var d struct {
			Type string
			Path string
			What []string
		}
		testdest.Must(t, json.Unmarshal([]byte(line), &d))
		switch d.Type {
		case "copy_difference":
			c.differs[d.Path] = strings.Join(d.What, ",")
		case "against_copy":
			testdest.Must(t, json.Unmarshal([]byte(line), &c.report))
		}
	}
	return c
}

// wantSameCopies: exit 0, no difference, all by checksums but byReading files.
func (c compared) wantSame(t testing.TB, backups int, byReading int64) {
	t.Helper()
	if c.Exit != 0 || len(c.differs) > 0 || len(c.report.Backups) != backups {
		t.Errorf("exit %d, %d backups\n%s%s", c.Exit, len(c.report.Backups), c.Stdout, c.Stderr)
	}
	for _, b := range c.report.Backups {
		if b.Result != rsbtbackup.SameCopy || b.Files == 0 || b.Files != b.BySums+b.ByReading || b.ByReading != byReading {
			t.Errorf("%+v, want %d by reading", b, byReading)
		}
	}
}

// ways are to compare with a copy on this host, and over sshd.
func ways(t testing.TB, dest, target string) map[string][]string {
	t.Helper()
	ssh := testserver.StartSSH(t)
	return map[string][]string{
		"here":      {dest, "--against-copy", target},
		"over sshd": {dest, "--against-copy", "127.0.0.1:" + target, "-e", ssh.Shell, "--program", testbin.Path(t)},
	}
}

// manyKinds adds what is stored in other ways.
func manyKinds(t testing.TB, src string) {
	t.Helper()
	shell(t, src, `
		mkdir many; for i in $(seq 1 300); do echo "$i" >many/$i; done; ln many/1 many/again; ln many/1 d/again
		cp --reflink=never d/noise shared; truncate -s 50M sparse; for i in 1 9 30; do dd if=/dev/urandom of=sparse bs=64k count=1 seek=$((i * 16)) conv=notrunc 2>/dev/null; done
		: >empty; head -c 1500 /dev/zero >inline; fallocate -l 1M ahead; printf x >>ahead; head -c 70000 /dev/urandom >odd; head -c 5000 /dev/zero >$'bytes\xff'`)
}

// TestACopyIsComparedByChecksums: no data is read if a copy is stored in the same way as its backup. This holds for all
// kinds of files, for copies here and on another host, and for later backups with changed blocks.
func TestACopyIsComparedByChecksums(t *testing.T) {
	t.Parallel()
	for _, options := range [][]string{nil, {"compress-force=zstd"}, {"compress=lzo"}} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			t.Parallel()
			src, dest, target := source(t), testdest.New(t, "1G", options...), testdest.New(t, "1G", options...)
			manyKinds(t, src)
			backups(t, src, dest, 3)
			testbin.Must(t, "copy", "-q", dest, target)
			for name, args := range ways(t, dest, target) {
				t.Run(name, func(t *testing.T) {
					c := compareCopies(t, args...)
					c.wantSame(t, 3, 0)
					for _, b := range testdest.Backups(t, dest) {
						if r := b.Record; r.Compared == nil || r.Compared.Result != rsbtbackup.SameCopy || !strings.HasSuffix(r.Compared.Target, target) {
							t.Errorf("%s: on record: %+v", b.Name, r.Compared)
						}
					}
				})
			}
		})
	}
}

// TestACopyThatIsStoredOtherwise is read, and is the same: compressed on one side only, without checksums, with
// checksums of another kind.
func TestACopyThatIsStoredOtherwise(t *testing.T) {
	t.Parallel()
	src := source(t)
	manyKinds(t, src)
	for name, make := range map[string]func(t *testing.T) (dest, target string){
		"compressed": func(t *testing.T) (string, string) {
			return testdest.New(t, "1G"), testdest.New(t, "1G", "compress-force=zstd")
		},
		"nodatacow": func(t *testing.T) (string, string) { return testdest.New(t, "1G"), testdest.New(t, "1G", "nodatacow") },
		"nodatasum here": func(t *testing.T) (string, string) {
			return testdest.New(t, "1G", "nodatasum"), testdest.New(t, "1G")
		},
		"sha256": func(t *testing.T) (string, string) {
			image := loopfs.NewImage(t, "1G", "btrfs")
			image.Unmount(t)
			testdest.Tool(t, "mkfs.btrfs", "-q", "-f", "--csum", "sha256", image.Image)
			image.Remount(t)
			return testdest.New(t, "1G"), testdest.On(t, image.Mount)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dest, target := make(t)
			backups(t, src, dest, 2)
			testbin.Must(t, "copy", "-q", dest, target)
			for way, args := range ways(t, dest, target) {
				c := compareCopies(t, args...)
				if c.Exit != 0 || len(c.differs) > 0 {
					t.Errorf("%s: exit %d\n%s%s", way, c.Exit, c.Stdout, c.Stderr)
				}
				for _, b := range c.report.Backups {
					if b.ByReading == 0 || b.Bytes == 0 || b.BySums+b.ByReading != b.Files {
						t.Errorf("%s: nothing was read: %+v", way, b)
					}
				}
			}
		})
	}
}

// altered makes the copy of a backup writable, changes it, and makes it read-only again.
func altered(t testing.TB, copied, commands string) {
	t.Helper()
	makeWritable(t, copied)
	shell(t, copied, commands)
	f, err := btrfs.OpenDir(copied)
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, btrfs.SetReadOnly(f, true))
	testdest.Tool(t, "sync", "-f", copied)
}

// TestEveryDifferenceOfACopyIsNamed: each is named by its path and by what differs, and nothing else is named. A copy
// on another host does not reveal the names that only it has.
func TestEveryDifferenceOfACopyIsNamed(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	manyKinds(t, src)
	shell(t, src, "mkdir gone; touch gone/1 gone/2; touch flagged; for i in own mode time target byte tail attr acl kind size hole links; do cp d/noise w-$i; done; ln -s one w-link; ln w-links w-links2")
	backups(t, src, dest, 1)
	testbin.Must(t, "copy", "-q", dest, target)
	name := testdest.Names(t, dest)[0]
	altered(t, filepath.Join(target, name), `
		keep() { t=$(stat -c %y "$1"); shift; "$@"; touch -hd "$t" "$f"; }
		f=w-own; keep w-own chown 7 w-own; f=w-mode; keep w-mode chmod 700 w-mode; touch -d '2001-01-01 00:00:00.1' w-time
		f=w-link; keep w-link ln -sfn other w-link
		f=w-byte; keep w-byte bash -c 'printf "\0x" | dd of=w-byte bs=1 seek=1000000 conv=notrunc status=none; printf "\0y" | dd of=w-byte bs=1 seek=1000000 conv=notrunc status=none'
		f=w-tail; keep w-tail bash -c 'printf z | dd of=w-tail bs=1 seek=2999999 conv=notrunc status=none'
		setfattr -n user.z -v 1 w-attr; setfacl -m u:9:r w-acl; t=$(stat -c %y .)
		rm w-kind; mkdir w-kind; f=w-size; keep w-size bash -c 'printf + >>w-size'
		cp -p w-links2 w-new; mv w-new w-links2; rm -r gone; touch many/extra; chattr +d flagged; touch -d "$t" many . `)
	for way, args := range ways(t, dest, target) {
		c := compareCopies(t, args...)
		for path, what := range map[string]string{
			"w-own": "owner", "w-mode": "mode", "w-time": "time", "w-link": "target", "w-byte": "content", "w-tail": "content", "w-attr": "attributes",
			"w-kind": "type", "w-size": "size", "w-links": "links", "w-links2": "links", "gone": "missing", "flagged": "flags",
		} {
			if !strings.Contains(c.differs[path], what) {
				t.Errorf("%s: %s differs in %q, want %q", way, path, c.differs[path], what)
			}
			delete(c.differs, path)
		}
		if !strings.Contains(c.differs["w-acl"], "attributes") {
			t.Errorf("%s: ACL: %q", way, c.differs["w-acl"])
		}
		delete(c.differs, "w-acl")
		if way == "here" && c.differs["many/extra"] != "extra" || way != "here" && !strings.Contains(c.differs["many"], "names") {
			t.Errorf("%s: what only the copy has: %q", way, c.differs)
		}
		delete(c.differs, "many/extra")
		for path, what := range c.differs {
			if path != "many" && path != "." {
				t.Errorf("%s: %s differs in %s", way, path, what)
			}
		}
		if c.Exit != 1 || c.report.Backups[0].Result != rsbtbackup.CopyDiffers {
			t.Errorf("%s: exit %d\n%s", way, c.Exit, c.Stderr)
		}
		if r := testdest.Backups(t, dest)[0].Record; r.Compared == nil || r.Compared.Result != rsbtbackup.CopyDiffers {
			t.Errorf("%s: on record: %+v", way, r.Compared)
		}
		if r := testbin.Run(t, "check", dest); r.Exit == 0 || !strings.Contains(r.Stdout, "copies") {
			t.Errorf("check says nothing of it: exit %d\n%s", r.Exit, r.Stdout)
		}
	}
}

// TestADamagedCopyIsNotTheSame: data that the disk cannot return is reported as unread if it had to be read. A
// comparison by checksums does not notice it: they are those of what was written.
func TestADamagedCopyIsNotTheSame(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G", "compress-force=zstd")
	image := loopfs.NewImage(t, "1G", "btrfs")
	target := testdest.On(t, image.Mount)
	shell(t, src, "head -c 3000000 /dev/zero | tr '\\0' x >d/same")
	backups(t, src, dest, 1)
	testbin.Must(t, "copy", "-q", "--decompress", dest, target)
	damage(t, image, filepath.Join(target, testdest.Names(t, dest)[0], "d/same"))
	for way, args := range ways(t, dest, target) {
		c := compareCopies(t, args...)
		if c.Exit != 1 || c.report.Unread != 1 || !strings.Contains(c.report.Unreads[0], "d/same") || c.report.Backups[0].Result != rsbtbackup.CopyUnread {
			t.Errorf("%s: exit %d, %+v\n%s", way, c.Exit, c.report, c.Stderr)
		}
	}
}

// TestABackupWithoutACopy: it is reported. It is an error if the backup was named, or if no backup has a copy.
func TestABackupWithoutACopy(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	names := testdest.Names(t, dest)
	c := compareCopies(t, dest, "--against-copy", target)
	if c.Exit != 1 || !strings.Contains(c.Stderr, "has no copy of") {
		t.Errorf("none has one: exit %d\n%s", c.Exit, c.Stderr)
	}
	testbin.Must(t, "copy", "-q", dest, target, names[1])
	for way, args := range ways(t, dest, target) {
		c := compareCopies(t, args...)
		if c.Exit != 0 || c.report.Backups[0].Result != rsbtbackup.NoCopy || c.report.Backups[1].Result != rsbtbackup.SameCopy {
			t.Errorf("%s: one has: exit %d, %+v", way, c.Exit, c.report.Backups)
		}
		if c := compareCopies(t, slices.Insert(slices.Clone(args), 1, names[0], names[1])...); c.Exit != 1 || !strings.Contains(c.Stderr, "has no copy of "+names[0]) {
			t.Errorf("%s: named: exit %d\n%s", way, c.Exit, c.Stderr)
		}
	}
	wantExit(t, testbin.Run(t, "verify", dest, "--against-copy", dest), 2, "one directory")
	wantExit(t, testbin.Run(t, "verify", dest, "2001", "--against-copy", target), 2, "no backup is called")
	wantExit(t, testbin.Run(t, "verify", dest, names[0], names[1]), 2, "name one BACKUP")
	wantExit(t, testbin.Run(t, "verify", dest, "--against-copy", filepath.Dir(target)), 10, "not initialised")
}

// TestAKeyLearnsNothingFromComparing: a key that may only receive can ask whether a copy equals a description. The
// answer has no name, no content, and nothing about files that were not named. Nothing is changed or locked.
func TestAKeyLearnsNothingFromComparing(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	testbin.Must(t, "copy", "-q", dest, target)
	forced := filepath.Join(t.TempDir(), "sshd")
	testdest.Must(t, os.WriteFile(forced, fmt.Appendf(nil, "#!/bin/sh\nexec %s receive --stdio %s\n", testbin.Path(t), target), 0o755))
	look := func() string { return testdest.Tool(t, "find", target, "-printf", "%p %i %s %C@\n") }
	before := look()
	compareCopies(t, dest, "--against-copy", "vault:/", "-e", forced).wantSame(t, 1, 0)
	item := testdest.Backups(t, target)[0]
	uuid := item.Record.Copied.UUID.String()
	ask := func(questions string) string {
		input := filepath.Join(t.TempDir(), "questions")
		testdest.Must(t, os.WriteFile(input, []byte(questions+"\n"), 0o600))
		r := pipe(t, forced+" <"+input)
		_, answers, _ := strings.Cut(r.Stdout, "\n")
		return answers
	}
	open := fmt.Sprintf(`{"compare":%q,"uuid":%q}`+"\n", item.Name, uuid)
	for _, tt := range []struct{ asked, want string }{
		{`{"compare":"../../etc","uuid":"` + uuid + `"}`, "no backup is called"},
		{`{"compare":"` + item.Name + `","uuid":"00000000-0000-0000-0000-000000000001"}`, "no backup is called"},
		{open + `{"entries":[{"path":"Lg==","mode":16832}]}`, "names"},
		{open + `{"entries":[{"path":"Li4vLi4vLi4vZXRjL3Bhc3N3ZA==","mode":33188},{"path":"L2V0Yy9wYXNzd2Q=","mode":33188}]}`, "missing"}, // ../../../etc/passwd, /etc/passwd
		{open + `{"contents":["AA=="]}`, "0 files were requested"},
		{open + "{", "unexpected end of JSON"},
		{open + strings.Repeat("x", 1<<20), "invalid character"},
	} {
		got := ask(tt.asked)
		if !strings.Contains(got, tt.want) {
			t.Errorf("%.100q: %.300q, want %q", tt.asked, got, tt.want)
		}
		for _, secret := range []string{"noise", "root:", "hello"} {
			if strings.Contains(got, secret) {
				t.Errorf("%.100q: it tells %q: %.300q", tt.asked, secret, got)
			}
		}
	}
	if after := look(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
