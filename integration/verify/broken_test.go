//go:build integration

package verify

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// loseTop overwrites, in both copies, the block at the top of a backup's tree: the backup cannot even be opened then.
func (s *store) loseTop(t testing.TB, backup uint64) {
	t.Helper()
	s.sync(t)
	device := strings.TrimSpace(testdest.Tool(t, "findmnt", "-no", "SOURCE", s.image.Mount))
	root := regexp.MustCompile(fmt.Sprintf(`key \(%d ROOT_ITEM \d+\)[^\n]*\n[^\n]* bytenr (\d+) `, backup)).
		FindStringSubmatch(testdest.Tool(t, "btrfs", "inspect-internal", "dump-tree", "-t", "root", device))
	if root == nil {
		t.Fatalf("no tree %d", backup)
	}
	address := number(t, root[1])
	chunks := testdest.Tool(t, "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", device)
	s.image.Unmount(t)
	for _, m := range stripes.FindAllStringSubmatch(chunks, -1) {
		start, length := number(t, m[1]), number(t, m[2])
		if start <= address && address < start+length {
			s.overwrite(t, int64(number(t, m[3])+address-start))
			s.overwrite(t, int64(number(t, m[4])+address-start))
		}
	}
	s.image.Remount(t)
}

// brokenHistory is three backups of a changing file, of which the one at index cannot be opened any more.
func brokenHistory(t *testing.T, index int) (s *store, names []string) {
	t.Helper()
	s = newStore(t)
	s.write(t, "same", 10_000)
	s.write(t, "dir/same", 10_000)
	for i := range 3 {
		s.write(t, "file", 5000+i)
		names = append(names, s.backup(t))
	}
	s.loseTop(t, s.snapshots(t)[index].ID)
	if _, err := os.ReadDir(filepath.Join(s.dest, names[index])); err == nil {
		t.Fatal("it can be read")
	}
	return s, names
}

var places = []string{"oldest", "middle", "newest"}

// Of three backups one cannot be opened: the others are listed, compared, restored, verified.
func TestABrokenBackupBlocksNoReading(t *testing.T) {
	t.Parallel()
	for index, place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s, names := brokenHistory(t, index)
			broken := names[index]
			intact := slices.Delete(slices.Clone(names), index, index+1)

			list := testbin.Must(t, "list", s.dest)
			for i, line := range strings.Split(list.Stdout, "\n")[1:4] {
				if !strings.HasPrefix(line, names[i]+" ") || strings.HasSuffix(line, "damaged") != (i == index) && !strings.HasSuffix(line, "damaged, current") {
					t.Errorf("%q in\n%s", line, list.Stdout)
				}
			}
			testbin.Must(t, "list", s.dest, "--size")
			for i, name := range intact {
				testbin.Must(t, "ls", s.dest, name, "dir")
				testbin.Must(t, "cat", s.dest, name, "file")
				target := filepath.Join(t.TempDir(), "restored")
				testbin.Must(t, "restore", s.dest, name, "-t", target)
				testdest.Tool(t, "diff", "-r", filepath.Join(s.dest, name), target)
				testbin.Must(t, "verify", s.dest, name)
				testbin.Must(t, "pin", s.dest, name)
				testbin.Must(t, "unpin", s.dest, name)
				if r := testbin.Must(t, "diff", s.dest, intact[0], name); strings.Contains(r.Stdout, "M file") != (i == 1) {
					t.Errorf("diff: %s", r.Stdout)
				}
			}
			history := testbin.Must(t, "history", s.dest, "file")
			if !strings.Contains(history.Stdout, "2 versions of file in 3 backups") || !strings.Contains(history.Stderr, broken) {
				t.Errorf("%s%s", history.Stdout, history.Stderr)
			}

			for _, args := range [][]string{{"verify", s.dest}, {"verify", s.dest, "--new-only"}, {"verify", s.dest, broken}} {
				r := testbin.Run(t, args...)
				if r.Exit != 1 || !strings.Contains(r.Stdout, "damaged: . in "+broken) {
					t.Errorf("%q: exit %d\n%s%s", args, r.Exit, r.Stdout, r.Stderr)
				}
			}
			if r := testbin.Run(t, "check", s.dest); r.Exit != 1 || !strings.Contains(r.Stdout, "FAIL  verified  1 backup damaged, nothing in it can be read: "+broken) {
				t.Errorf("exit %d\n%s", r.Exit, r.Stdout)
			}
			for _, args := range [][]string{{"ls", s.dest, broken}, {"cat", s.dest, broken, "file"}, {"restore", s.dest, broken, "-t", filepath.Join(t.TempDir(), "x")}, {"diff", s.dest, broken, intact[0]}} {
				r := testbin.Run(t, args...)
				if r.Exit != 1 || !strings.Contains(r.Stderr, broken+" is damaged: nothing in it can be read") || !strings.Contains(r.Stderr, "hint: to see which are intact: rsbtbackup list "+s.dest) {
					t.Errorf("%q: exit %d\n%s", args, r.Exit, r.Stderr)
				}
			}
		})
	}
}

// The next backup is based on an intact one, prune uses the others, and delete reports what it cannot do.
func TestABrokenBackupBlocksNoWriting(t *testing.T) {
	t.Parallel()
	for index, place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s, names := brokenHistory(t, index)
			broken := names[index]
			intact := slices.Delete(slices.Clone(names), index, index+1)
			s.write(t, "file", 4000)
			r := testbin.Must(t, "backup", s.src, s.dest)
			if !strings.Contains(r.Stderr, broken+" is damaged") || !strings.Contains(r.Stdout, "incremental on "+intact[1]) {
				t.Errorf("%s%s", r.Stdout, r.Stderr)
			}
			next, err := os.Readlink(filepath.Join(s.dest, "cur"))
			testdest.Must(t, err)
			testdest.Tool(t, "diff", "-r", s.src, filepath.Join(s.dest, next))
			if report, err := rsbtbackup.Verify(t.Context(), s.dest, rsbtbackup.VerifyOptions{Backup: next}); err != nil || report.Damaged != 0 {
				t.Errorf("%v, %+v", err, report)
			}

			testbin.Must(t, "prune", s.dest, "--keep-last=2", "-n")
			testbin.Must(t, "prune", s.dest, "--keep-last=2")
			want := []string{intact[1], next, broken}
			slices.Sort(want)
			if got := s.names(t); !slices.Equal(got, want) {
				t.Errorf("after prune: %q, want %q", got, want)
			}
			testbin.Must(t, "delete", s.dest, intact[1])

			r = testbin.Run(t, "delete", s.dest, broken)
			if r.Exit != 1 || !strings.Contains(r.Stderr, broken+": its root directory is damaged, so the kernel can delete it neither by name nor by its id") || !strings.Contains(r.Stderr, "hint: ") {
				t.Errorf("exit %d\n%s", r.Exit, r.Stderr)
			}
			if s.snapshots(t)[0].Record == nil {
				t.Error("it has lost its record")
			}
			testbin.Must(t, "backup", "-q", s.src, s.dest)
		})
	}
}

// A backup that can be opened, but of whose root directory a block is lost, is no base either: what is in it cannot be
// removed from a snapshot of it.
func TestABackupThatCannotBeListedIsNoBase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "one", 10)
	first := s.backup(t)
	for i := range 3000 {
		s.write(t, fmt.Sprintf("a-file-with-a-long-name-%04d", i), 0)
	}
	second := s.backup(t)
	s.loseLeaf(t, s.snapshots(t)[1].ID, "DIR_INDEX")
	r := testbin.Must(t, "backup", s.src, s.dest)
	if !strings.Contains(r.Stdout, "incremental on "+first) || !strings.Contains(r.Stderr, second+" is damaged, so this backup is not based on it") {
		t.Errorf("%s%s", r.Stdout, r.Stderr)
	}
	third, err := os.Readlink(filepath.Join(s.dest, "cur"))
	testdest.Must(t, err)
	testdest.Tool(t, "diff", "-r", s.src, filepath.Join(s.dest, third))
}

// What a run has left unfinished can be damaged as well, and then be neither removed nor renamed.
func TestADamagedPendingBlocksNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 5000)
	first := s.backup(t)
	pending := filepath.Join(s.dest, "pending")
	testdest.Tool(t, "btrfs", "subvolume", "snapshot", filepath.Join(s.dest, first), pending)
	s.loseTop(t, number(t, strings.TrimSpace(testdest.Tool(t, "btrfs", "inspect-internal", "rootid", pending))))
	if _, err := os.ReadDir(pending); err == nil {
		t.Fatal("it can be read")
	}
	testbin.Must(t, "list", s.dest)
	testbin.Must(t, "cat", s.dest, first, "file")
	if r := testbin.Must(t, "check", s.dest); !strings.Contains(r.Stdout, "an unfinished backup is damaged") {
		t.Error(r.Stdout)
	}
	for range 2 {
		s.write(t, "file", 6000)
		next := s.backup(t)
		testdest.Tool(t, "diff", "-r", s.src, filepath.Join(s.dest, next))
	}
	testbin.Must(t, "prune", s.dest, "--keep-last=1")
	entries, err := os.ReadDir(s.dest)
	testdest.Must(t, err)
	if len(entries) != 4 { // .log, cur, the last backup, pending
		t.Error(entries)
	}
}

func (s *store) names(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, b := range s.snapshots(t) {
		names = append(names, b.Name)
	}
	slices.Sort(names)
	return names
}

// Without the log nothing can be recorded, so nothing is changed; all backups are read as before.
func TestADamagedLogBlocksNoReading(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 5000)
	first := s.backup(t)
	s.write(t, "file", 6000)
	second := s.backup(t)
	s.loseTop(t, number(t, strings.TrimSpace(testdest.Tool(t, "btrfs", "inspect-internal", "rootid", filepath.Join(s.dest, ".log")))))
	target := filepath.Join(t.TempDir(), "restored")
	for _, args := range s.readings(first, second, target) {
		testbin.Must(t, args...)
	}
	testdest.Tool(t, "diff", "-r", s.src, target)
	if r := testbin.Run(t, "check", s.dest); r.Exit != 1 || !strings.Contains(r.Stdout, "FAIL  log") {
		t.Errorf("exit %d\n%s", r.Exit, r.Stdout)
	}
	for _, args := range s.changes(first) {
		r := testbin.Run(t, args...)
		if r.Exit != 1 || !strings.Contains(r.Stderr, "/.log") || !strings.Contains(r.Stderr, "input/output error") {
			t.Errorf("%q: exit %d\n%s", args, r.Exit, r.Stderr)
		}
	}
	testdest.Tool(t, "ls", filepath.Join(s.dest, first), filepath.Join(s.dest, second))
}

// Root gives an ordinary user a DEST with a backup that only root may enter. The user can use the other backups, but
// cannot make a new one, because its base would be an older backup.
func TestABackupThatIsNotForTheCaller(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	testdest.Must(t, os.Chmod(s.image.Mount, 0o755))
	testdest.Must(t, os.Chmod(s.src, 0o755))
	testdest.Must(t, os.Chmod(filepath.Dir(s.src), 0o755))
	s.write(t, "file", 5000)
	for _, path := range []string{s.src, filepath.Join(s.src, "file")} {
		testdest.Must(t, os.Chown(path, nobody, nobody))
	}
	mine := s.backup(t)
	testdest.Must(t, os.Chown(s.src, 0, 0))
	testdest.Must(t, os.Chmod(s.src, 0o700))
	closed := s.backup(t)
	testdest.Must(t, filepath.Walk(filepath.Join(s.dest, ".log"), func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	}))
	testdest.Must(t, os.Chown(s.dest, nobody, nobody))
	testdest.Must(t, os.Chmod(s.src, 0o755))
	for _, tt := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"list", s.dest}, 0, "complete, current, not readable"},
		{[]string{"ls", s.dest, mine}, 0, "file"},
		{[]string{"cat", s.dest, mine, "file"}, 0, ""},
		{[]string{"diff", s.dest, mine, mine}, 0, "no differences"},
		{[]string{"history", s.dest, "file"}, 0, "1 version of file in 2 backups"},
		{[]string{"check", s.dest}, 0, "WARN  verified  1 backup cannot be opened by this user: " + closed},
		{[]string{"verify", s.dest, mine}, 0, "1 file"},
		{[]string{"verify", s.dest}, 1, "1 could not be read"},
		{[]string{"ls", s.dest, closed}, 1, closed + " cannot be opened: "},
		{[]string{"backup", s.src, s.dest}, 1, closed + " cannot be opened: "},
		{[]string{"prune", s.dest, "--keep-last=1"}, 0, "0 backups deleted"},
	} {
		out, exit := runAs(t, nobody, tt.args...)
		if exit != tt.exit || !strings.Contains(out, tt.want) {
			t.Errorf("%q: exit %d, want %d and %q\n%s", tt.args, exit, tt.exit, tt.want, out)
		}
	}
	if cur, err := os.Readlink(filepath.Join(s.dest, "cur")); err != nil || cur != closed {
		t.Errorf("cur names %q, %v", cur, err)
	}
}

// In a backup of an ordinary user root has set an attribute that only root may read: that user can still back up and
// restore.
func TestABackupWithAttributesOfRoot(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	testdest.Must(t, os.Chmod(s.image.Mount, 0o755))
	for dir := s.src; dir != "/"; dir = filepath.Dir(dir) {
		if strings.HasPrefix(filepath.Base(dir), "Test") || dir == s.src {
			testdest.Must(t, os.Chmod(dir, 0o755))
		}
	}
	s.write(t, "file", 5000)
	testdest.Must(t, os.Link(filepath.Join(s.src, "file"), filepath.Join(s.src, "again")))
	dest := filepath.Join(s.image.Mount, "theirs")
	testdest.Must(t, os.Mkdir(dest, 0o700))
	testdest.Tool(t, "chown", "-R", fmt.Sprint(nobody), dest, s.src)
	wanted := func(args ...string) {
		t.Helper()
		if out, exit := runAs(t, nobody, args...); exit != 0 {
			t.Fatalf("%q: exit %d\n%s", args, exit, out)
		}
	}
	wanted("init", dest)
	wanted("backup", s.src, dest)
	first := filepath.Join(dest, testdest.Tool(t, "readlink", "-n", filepath.Join(dest, "cur")))
	testdest.Tool(t, "btrfs", "property", "set", "-ts", first, "ro", "false")
	testdest.Must(t, syscall.Setxattr(filepath.Join(first, "file"), "trusted.mine", []byte("x"), 0))
	testdest.Tool(t, "btrfs", "property", "set", "-ts", first, "ro", "true")
	f, err := os.OpenFile(filepath.Join(s.src, "file"), os.O_WRONLY|os.O_APPEND, 0)
	testdest.Must(t, err)
	_, err = f.WriteString("more") // so that its names are parted
	testdest.Must(t, errors.Join(err, f.Close()))
	wanted("backup", s.src, dest)
	wanted("verify", dest)
	wanted("verify", dest, "latest", "--against", s.src)
	target := filepath.Join(s.image.Mount, "target")
	testdest.Must(t, os.Mkdir(target, 0o700))
	testdest.Must(t, os.Chown(target, nobody, nobody))
	wanted("restore", dest, filepath.Base(first), "-t", target)
	testdest.Tool(t, "diff", "-r", first, target)
}

const nobody = 65534

func runAs(t testing.TB, uid uint32, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(testbin.Path(t), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
