//go:build integration

package restore

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

func TestTheGoSourceTreeComesBackTheSame(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	backup := p.backup(t, goSource(t))
	for _, tt := range []struct {
		name, target string
		args         []string
	}{
		{"by reflink", p.mount + "/reflink", nil},
		{"by rsync", p.mount + "/rsync", []string{"--no-reflink"}},
	} {
		p.restore(t, append(tt.args, "-t", tt.target)...)
		testdest.WantSame(t, backup, tt.target)
		testdest.WantSame(t, goSource(t), tt.target)
	}
}

// Everything a file can be, to every kind of place.
func TestOneOfEverythingComesBackTheSame(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	inheriting := p.mount + "/inheriting"
	testdest.Must(t, os.Mkdir(inheriting, 0o2755))
	testdest.Must(t, os.Chown(inheriting, 0, 77))
	testdest.Tool(t, "setfacl", "-m", "d:u:1000:rwx", inheriting)
	setgid := p.mount + "/setgid"
	testdest.Must(t, os.Mkdir(setgid, 0o755))
	testdest.Must(t, os.Chown(setgid, 0, 77))
	testdest.Must(t, unix.Chmod(setgid, 0o2755))
	testdest.Must(t, os.Symlink(p.mount+"/real", p.mount+"/link"))
	testdest.Must(t, os.Mkdir(p.mount+"/real", 0o700))
	for _, tt := range []struct {
		name, target string
		args         []string
		reflinked    bool
	}{
		{"new directory", p.mount + "/new", nil, true},
		{"no reflink", p.mount + "/rsync", []string{"--no-reflink"}, false},
		{"set-group-id directory", setgid, nil, true},
		{"directory with a default ACL", inheriting, nil, false},
		{"through a symlink", p.mount + "/link", nil, true},
		{"another file system", loopfs.NewFS(t, "300M", "ext4") + "/new", nil, false},
		{"with exclude", p.mount + "/excluded", []string{"--exclude=no such"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := p.restore(t, append(tt.args, "--json", "-t", tt.target)...)
			testdest.WantSame(t, backup, tt.target)
			var report rsbtbackup.RestoreReport
			testdest.Must(t, json.Unmarshal([]byte(r.Stdout), &report))
			if (report.Reflinked != nil) != tt.reflinked || (report.Stats == nil) != tt.reflinked {
				t.Errorf("reflinked %+v and rsync %+v, want reflink: %v", report.Reflinked, report.Stats, tt.reflinked)
			}
			var st unix.Stat_t
			testdest.Must(t, unix.Stat(tt.target+"/sparse", &st))
			if st.Blocks > 1<<11 {
				t.Errorf("the sparse file takes %d KiB", st.Blocks/2)
			}
		})
	}
}

func TestPathsComeBackUnderTheirWholePath(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	for _, reflink := range []string{"--reflink", "--no-reflink"} {
		target := p.mount + "/paths" + reflink
		p.restore(t, reflink, "-t", target, "etc/ssh", "/plain", "etc/linked", "./names/-n", "etc/ssh/sshd_config", "outside")
		got := testdest.Tool(t, "find", target, "-mindepth", "1", "-printf", "%P %y %m %U %T@\n")
		want := testdest.Tool(t, "find", backup, "-mindepth", "1", "-regextype", "posix-extended", "-regex",
			backup+"/(etc|etc/ssh|etc/ssh/sshd_config|etc/linked|plain|names|names/-n|outside)", "-printf", "%P %y %m %U %T@\n")
		if sorted(got) != sorted(want) {
			t.Errorf("%s: got\n%swant\n%s", reflink, got, want)
		}
		var a, b unix.Stat_t
		testdest.Must(t, unix.Stat(target+"/plain", &a))
		testdest.Must(t, unix.Stat(target+"/etc/linked", &b))
		if a.Ino != b.Ino {
			t.Errorf("%s: hard link lost", reflink)
		}
	}
}

func TestOverwriteModes(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, name := range []string{"same-size-and-time", "older", "newer", "missing", "unchanged"} {
		testdest.Write(t, src+"/"+name, "backup")
		testdest.Must(t, os.Chtimes(src+"/"+name, old, old))
	}
	p.backup(t, src)
	fill := func(target string) {
		testdest.Tool(t, "cp", "-a", src, target)
		testdest.Must(t, os.Remove(target+"/missing"))
		for name, at := range map[string]time.Time{"same-size-and-time": old, "older": old.AddDate(-1, 0, 0), "newer": old.AddDate(1, 0, 0)} {
			testdest.Write(t, target+"/"+name, "target")
			testdest.Must(t, os.Chtimes(target+"/"+name, at, at))
		}
		testdest.Write(t, target+"/extra", "extra")
	}
	for _, tt := range []struct {
		mode, restored string // of same-size-and-time, older, newer
	}{
		{"always", "backup backup backup"},
		{"if-changed", "target backup backup"},
		{"if-newer", "target backup target"},
		{"never", "target target target"},
	} {
		target := p.mount + "/" + tt.mode
		fill(target)
		p.restore(t, "-t", target, "--overwrite", tt.mode)
		got := testdest.Read(t, target+"/same-size-and-time") + " " + testdest.Read(t, target+"/older") + " " + testdest.Read(t, target+"/newer")
		if got != tt.restored || testdest.Read(t, target+"/missing") != "backup" || testdest.Read(t, target+"/extra") != "extra" {
			t.Errorf("%s: %s, want %s", tt.mode, got, tt.restored)
		}
		p.restore(t, "-t", target, "--overwrite", tt.mode, "--delete")
		if testdest.Exists(target + "/extra") {
			t.Errorf("%s: --delete left a file", tt.mode)
		}
	}
}

func TestDeleteKeepsToThePaths(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	p.backup(t, src)
	target := p.mount + "/target"
	for _, name := range []string{"top", "etc/beside", "etc/ssh/extra", "etc/ssh/keep.me", "names/other"} {
		testdest.Write(t, target+"/"+name, "x")
	}
	p.restore(t, "-t", target, "--overwrite=if-changed", "--delete", "--exclude=keep.me", "etc/ssh", "plain")
	for name, want := range map[string]bool{"top": true, "etc/beside": true, "etc/ssh/extra": false, "etc/ssh/keep.me": true, "names/other": true, "etc/ssh/sshd_config": true} {
		if testdest.Exists(target+"/"+name) != want {
			t.Errorf("%s exists: %v, want %v", name, !want, want)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	p.backup(t, src)
	target := p.mount + "/target"
	testdest.Write(t, target+"/plain", "differs")
	testdest.Write(t, target+"/extra", "x")
	before := listing(t, p.mount)
	r := p.restore(t, "-n", "--delete", "-t", target)
	for _, want := range []string{"*deleting   extra\n", ">f.st.....x plain\n", "cd+++++++++ etc/\n", `>f+++++++++ names/new\nline \x1b[31m \xff -n` + "\n", "nothing was changed"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("no %q in\n%s", want, r.Stdout)
		}
	}
	r = p.restore(t, "-n", "--json", "-t", p.mount+"/not there", "etc/hosts")
	if want := `{"type":"change","code":">f+++++++++","path":"etc/hosts"}`; !strings.Contains(r.Stdout, want) {
		t.Errorf("no %s in\n%s", want, r.Stdout)
	}
	p.restore(t, "-n", "--in-place", "--delete")
	p.restore(t, "-n", "--overwrite=always", "-t", target)
	if after := listing(t, p.mount); after != before {
		t.Errorf("a dry run changed something:\n%s\nwas\n%s", after, before)
	}
}

func TestInPlace(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	testdest.Write(t, src+"/plain", "edited")
	testdest.Must(t, os.RemoveAll(src+"/etc/ssh"))
	testdest.Write(t, src+"/new", "new")
	before := listing(t, src)
	p.refuse(t, 13, "not empty", "--in-place")
	if listing(t, src) != before {
		t.Error("a refusal changed the target")
	}
	p.restore(t, "--in-place", "etc/ssh/sshd_config") // nothing is in its way
	testdest.Must(t, os.RemoveAll(src+"/etc/ssh"))
	p.refuse(t, 13, "not empty", "--in-place", "etc/ssh/sshd_config", "plain")
	p.refuse(t, 13, "not empty", "--in-place", "etc/ssh", "etc")
	p.restore(t, "--in-place", "--overwrite=if-changed", "etc")
	if !testdest.Exists(src+"/etc/ssh/sshd_config") || !testdest.Exists(src+"/new") {
		t.Error("the path is not back, or another one was touched")
	}
	p.restore(t, "--in-place", "--overwrite=if-changed", "--delete")
	testdest.WantSame(t, backup, src)
	testdest.Must(t, os.RemoveAll(src))
	p.restore(t, "--in-place")
	testdest.WantSame(t, backup, src)

	testdest.Must(t, os.RemoveAll(p.dest+"/.log/records"))
	p.refuse(t, 2, "not recorded", "--in-place", "--overwrite=always")
}

// A backup of a directory that DEST lies in leaves DEST out, and so does putting it back.
func TestADestInsideTheTargetIsLeftAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	testdest.Write(t, p.mount+"/data/file", "x")
	backup := p.backup(t, p.mount, "--force")
	testdest.Must(t, os.Remove(p.mount+"/data/file"))
	testdest.Write(t, p.mount+"/data/new", "x")
	testdest.Must(t, os.WriteFile(p.dest+"/mine", nil, 0o644))
	r := p.restore(t, "-v", "--in-place", "--overwrite=if-changed", "--delete", "--exclude=!")
	if !testdest.Exists(p.dest+"/mine") || !testdest.Exists(p.mount+"/data/file") || testdest.Exists(p.mount+"/data/new") || !testdest.Exists(backup+"/data/file") || !testdest.Exists(p.dest+"/.log/rsbtbackup") {
		t.Errorf("not restored, or DEST is damaged:\n%s", r.Stderr)
	}
}

// "link/.." is the parent of what link leads to, as for the shell and the kernel, whether the target is there or not.
func TestDotDotLeadsOutOfTheDirectoryALinkLeadsTo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	testdest.Write(t, p.mount+"/src/file", "backup")
	p.backup(t, p.mount+"/src")
	testdest.Must(t, os.MkdirAll(p.mount+"/far/away/there", 0o755))
	testdest.Must(t, os.Symlink("far/away", p.mount+"/link"))
	for target, args := range map[string][]string{
		"missing":   {"-t", p.mount + "/link/../missing"},
		"slash":     {"-t", p.mount + "/link/../slash/"},
		"away/..":   {"-t", p.mount + "/link/there/../..", "--overwrite=always"},
		"subvolume": {"--as-subvolume", p.mount + "/link/../subvolume"},
	} {
		p.restore(t, args...)
		if got := testdest.Read(t, p.mount+"/far/"+target+"/file"); got != "backup" {
			t.Errorf("%q: %q", args, got)
		}
	}
	if _, err := os.Stat(p.mount + "/missing"); err == nil {
		t.Error("restored beside the link")
	}
}

func TestAsSubvolume(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	clone := p.mount + "/clone"
	p.restore(t, "--as-subvolume", clone)
	testdest.WantSame(t, backup, clone)
	testdest.Write(t, clone+"/plain", "edited")
	if testdest.Read(t, backup+"/plain") != "plain\n" {
		t.Error("the backup changed with its clone")
	}
	if got := testdest.Tool(t, "btrfs", "property", "get", "-ts", clone, "ro"); got != "ro=false\n" {
		t.Errorf("clone: %s", got)
	}
	testdest.Must(t, os.Symlink(p.dest, p.mount+"/to-dest"))
	for _, tt := range []struct {
		exit       int
		want, path string
	}{
		{12, "exists", clone},
		{12, "not on the filesystem", t.TempDir() + "/x"},
		{12, "no such file", p.mount + "/missing/x"},
		{13, "inside", p.dest + "/2026-01-01-00:00"},
		{13, "inside", p.dest + "/.log/x"},
		{13, "inside", backup + "/x"},
		{13, "inside", p.mount + "/to-dest/x"},
	} {
		p.refuse(t, tt.exit, tt.want, "--as-subvolume", tt.path)
	}
	if _, err := rsbtbackup.Clone(t.Context(), p.dest, "latest", ""); err == nil {
		t.Error("an empty path is taken")
	}
	if r := testbin.Run(t, "restore", p.dest, "latest", "plain", "--as-subvolume", p.mount+"/c2"); r.Exit != 2 {
		t.Errorf("a PATH with --as-subvolume: exit %d", r.Exit)
	}
}

// Root may run with another group than its own: under systemd, with Group=.
func TestOwnersDoNotDependOnTheGroupOfTheCaller(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	oddities(t, p.mount+"/src")
	backup := p.backup(t, p.mount+"/src")
	for _, how := range []string{"--reflink", "--no-reflink"} {
		target := p.mount + "/restored" + how
		testdest.Tool(t, "setpriv", "--regid", "100", "--clear-groups", testbin.Path(t), "restore", p.dest, "latest", how, "-t", target)
		testdest.WantSame(t, backup, target)
	}
}

// rsync 3.5.0 asks for the default ACL of what was a directory, and says that it failed, though nothing did.
func TestAHardLinkedFileForADirectoryIsNoFailure(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src, target := p.mount+"/src", p.mount+"/target"
	testdest.Write(t, src+"/a", "linked")
	testdest.Must(t, os.Link(src+"/a", src+"/b"))
	backup := p.backup(t, src)
	for _, mode := range []string{"if-changed", "always"} {
		for _, name := range []string{"a", "b"} {
			testdest.Must(t, os.RemoveAll(target))
			testdest.Tool(t, "cp", "-a", src, target)
			testdest.Must(t, os.Remove(target+"/"+name))
			testdest.Write(t, target+"/"+name+"/x", "x")
			p.restore(t, "-t", target, "--overwrite", mode, "--delete")
			testdest.WantSame(t, backup, target)
		}
	}
}
