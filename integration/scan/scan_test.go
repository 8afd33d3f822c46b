//go:build integration

package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
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

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// pair is a source with two destinations, one of them always made by a full run.
type pair struct {
	t         *testing.T
	src       string
	walk, all string
	set       func(o *rsbtbackup.BackupOptions)
	made      int
	misses    bool // a catalog is wrong
	log       bytes.Buffer
}

func newPair(t *testing.T, names ...string) *pair {
	t.Helper()
	return newPairOf(t, t.TempDir(), names...)
}

// newPairOf is newPair of a source that is there.
func newPairOf(t *testing.T, src string, names ...string) *pair {
	t.Helper()
	disk := loopfs.New(t, "2G")
	p := &pair{t: t, src: src, walk: filepath.Join(disk, "walk"), all: filepath.Join(disk, "all"), set: func(*rsbtbackup.BackupOptions) {}}
	for _, dest := range []string{p.walk, p.all} {
		testdest.Must(t, os.Mkdir(dest, 0o700))
		_, err := rsbtbackup.Init(t.Context(), dest, rsbtbackup.InitOptions{})
		testdest.Must(t, err)
	}
	p.write(names...)
	// What changed less than two seconds before a walk is looked at again by the next one.
	time.Sleep(2100 * time.Millisecond)
	p.backup()
	return p
}

// write makes files that have their names in them, and directories of names that end with a slash.
func (p *pair) write(names ...string) {
	p.t.Helper()
	for _, name := range names {
		path := filepath.Join(p.src, name)
		if strings.HasSuffix(name, "/") {
			testdest.Must(p.t, os.MkdirAll(path, 0o755))
			continue
		}
		testdest.Must(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
		testdest.Must(p.t, os.WriteFile(path, fmt.Appendf(nil, "%s, %d", name, p.made), 0o644))
	}
}

func (p *pair) options(dest, scan string) rsbtbackup.BackupOptions {
	o := rsbtbackup.BackupOptions{
		Source: p.src, Dest: dest, Scan: scan, Now: time.Now().Truncate(time.Second).Add(time.Duration(p.made) * time.Minute),
		Logger: slog.New(slog.NewTextHandler(&p.log, nil)),
	}
	p.set(&o)
	return o
}

// backup makes both backups, which must be equal, and returns how what had changed was found in the first.
func (p *pair) backup() *rsbtbackup.Scan {
	p.t.Helper()
	p.made++
	by, err := rsbtbackup.Backup(p.t.Context(), p.options(p.walk, rsbtbackup.ScanAuto))
	testdest.Must(p.t, err)
	full, err := rsbtbackup.Backup(p.t.Context(), p.options(p.all, rsbtbackup.ScanFull))
	testdest.Must(p.t, err)
	p.same(filepath.Join(p.walk, by.Name), filepath.Join(p.all, full.Name))
	got, want := *by.Stats, *full.Stats
	if got.Files != want.Files || got.RegularFiles != want.RegularFiles || got.Directories != want.Directories ||
		got.Symlinks != want.Symlinks || got.Devices != want.Devices || got.Specials != want.Specials || got.TotalSize != want.TotalSize {
		p.t.Errorf("counted %+v, want %+v", got, want)
	}
	if by.Scan.Missed+full.Scan.Missed > 0 && !p.misses {
		p.t.Errorf("a walk has missed changes: %+v, %+v\n%s", by.Scan, full.Scan, p.log.String())
	}
	if by.Scan.Catalog == "" {
		p.t.Errorf("nothing is kept for the next run: %+v", by.Scan)
	}
	return by.Scan
}

// same lets rsync compare two backups, by content and with all attributes.
func (p *pair) same(a, b string) {
	p.t.Helper()
	out, err := exec.Command("rsync", "-aHAXnic", "-X", "--modify-window=-1", "--numeric-ids", "--delete", a+"/", b+"/").CombinedOutput()
	if err != nil || len(out) > 0 {
		p.t.Errorf("the backup by a walk is not the one by a full run: %v\n%s", err, out)
	}
}

// want checks how what had changed was found.
func want(t *testing.T, s *rsbtbackup.Scan, mode, why string) {
	t.Helper()
	if s.Mode != mode || !strings.Contains(s.Why, why) || (why == "") != (s.Why == "") {
		t.Errorf("scanned %+v, want mode %q, why %q", s, mode, why)
	}
}

func TestNothingHasChanged(t *testing.T) {
	t.Parallel()
	p := newPair(t, "a/b/f", "a/g", "c/")
	testdest.Must(t, os.Link(p.src+"/a/g", p.src+"/c/g"))
	p.backup()
	time.Sleep(2100 * time.Millisecond)
	p.backup() // looks once more at what was changed right before
	for range 3 {
		s := p.backup()
		want(t, s, rsbtbackup.ScanWalk, "")
		if s.Listed != 0 || s.Looked != 6 {
			t.Errorf("%+v", s)
		}
	}
}

// The first run, each tenth, and one after seven days compare everything.
func TestTheScanIsCheckedNowAndThen(t *testing.T) {
	t.Parallel()
	p := newPair(t, "a/f")
	for n := 1; n <= 21; n++ {
		s := p.backup()
		if n%10 == 0 {
			want(t, s, rsbtbackup.ScanFull, "every 10 runs")
		} else {
			want(t, s, rsbtbackup.ScanWalk, "")
		}
		if s.SinceFull != n%10 {
			t.Errorf("run %d: %+v", n, s)
		}
	}
	p.made += 7 * 24 * 60
	want(t, p.backup(), rsbtbackup.ScanFull, "every 7 days")
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
	p.set = func(o *rsbtbackup.BackupOptions) {
		if o.Scan == rsbtbackup.ScanAuto {
			o.Scan = rsbtbackup.ScanWalk
		}
	}
	for range 12 {
		want(t, p.backup(), rsbtbackup.ScanWalk, "")
	}
}

func TestChangesAmongThoseExcluded(t *testing.T) {
	t.Parallel()
	p := newPair(t, "keep/a", "keep/cache/sub/x", "keep/t.tmp", "top/cut/x", "top/y", "deep/er/cache/z", "deep/er/f")
	p.set = func(o *rsbtbackup.BackupOptions) { o.Exclude = []string{"cache", "/top/cut/", "*.tmp"} }
	want(t, p.backup(), rsbtbackup.ScanFull, "other rules")
	steps := []struct {
		what string
		do   func()
	}{
		{"changes below what is excluded", func() {
			p.write("keep/cache/sub/x", "keep/cache/sub/new", "top/cut/new", "keep/u.tmp", "deep/er/cache/z")
		}},
		{"changes beside it", func() { p.write("keep/b", "top/y", "deep/er/f") }},
		{"new directories with such in them", func() {
			p.write("new/a/cache/x", "new/a/f", "new/cache/y", "new/v.tmp", "keep/cache/sub/deeper/x", "keep/cache2/", "new/a/b/c/d/cache/")
		}},
		{"a directory becomes one that is excluded", func() { testdest.Must(t, os.Rename(p.src+"/new/a/b", p.src+"/new/a/cache/b")) }},
		{"and another one by its name", func() {
			testdest.Must(t, errors.Join(os.RemoveAll(p.src+"/new/cache"), os.Rename(p.src+"/new/a", p.src+"/new/cache")))
		}},
		{"one that was excluded comes", func() { testdest.Must(t, os.Rename(p.src+"/new/cache", p.src+"/new/seen")) }},
		{"a link to what is excluded", func() { testdest.Must(t, os.Link(p.src+"/keep/cache/sub/x", p.src+"/keep/linked")) }},
		{"that changes", func() { p.write("keep/cache/sub/x") }},
	}
	for _, step := range steps {
		t.Log(step.what)
		step.do()
		want(t, p.backup(), rsbtbackup.ScanWalk, "")
	}
}

func TestAFileOfRulesCountsWithItsContent(t *testing.T) {
	t.Parallel()
	p := newPair(t, "a/x", "a/y")
	rules := filepath.Join(t.TempDir(), "rules")
	testdest.Must(t, os.WriteFile(rules, []byte("x\n"), 0o600))
	p.set = func(o *rsbtbackup.BackupOptions) { o.ExcludeFrom = []string{rules} }
	want(t, p.backup(), rsbtbackup.ScanFull, "other rules")
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
	testdest.Must(t, os.WriteFile(rules, []byte("y\n"), 0o600))
	want(t, p.backup(), rsbtbackup.ScanFull, "other rules")
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
}

// With any fault of the catalog everything is compared, once.
func TestUnusableCatalog(t *testing.T) {
	t.Parallel()
	p := newPair(t, "a/f", "b/g")
	catalog := filepath.Join(p.walk, ".log", "catalog")
	read := func() []byte {
		data, err := os.ReadFile(catalog)
		testdest.Must(t, err)
		return data
	}
	before := read()
	p.write("a/h")
	p.backup()
	for _, tt := range []struct {
		name, why string
		do        func() error
	}{
		{"gone", "is missing", func() error { return os.Remove(catalog) }},
		{"empty", "unusable catalog", func() error { return os.Truncate(catalog, 0) }},
		{"cut off", "unusable catalog", func() error { return os.Truncate(catalog, int64(len(read())-1)) }},
		{"one bit flipped", "unusable catalog", func() error {
			data := read()
			data[len(data)/2] ^= 1
			return os.WriteFile(catalog, data, 0o600)
		}},
		{"an older one", "of another backup", func() error { return os.WriteFile(catalog, before, 0o600) }},
		{"a directory, which is moved aside", "is missing", func() error { return errors.Join(os.Remove(catalog), os.Mkdir(catalog, 0o700)) }},
		{"a symlink", "", func() error { return errors.Join(os.RemoveAll(catalog), os.Symlink("/etc/passwd", catalog)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testdest.Must(t, tt.do())
			p.write("a/f", "b/new-"+tt.name)
			s := p.backupAnyhow()
			if s.Mode != rsbtbackup.ScanFull || !strings.Contains(s.Why, tt.why) {
				t.Errorf("%+v", s)
			}
			want(t, p.backup(), rsbtbackup.ScanWalk, "")
		})
	}
}

// backupAnyhow is backup where nothing may be kept.
func (p *pair) backupAnyhow() *rsbtbackup.Scan {
	p.t.Helper()
	p.made++
	by, err := rsbtbackup.Backup(p.t.Context(), p.options(p.walk, rsbtbackup.ScanAuto))
	testdest.Must(p.t, err)
	full, err := rsbtbackup.Backup(p.t.Context(), p.options(p.all, rsbtbackup.ScanFull))
	testdest.Must(p.t, err)
	p.same(filepath.Join(p.walk, by.Name), filepath.Join(p.all, full.Name))
	return by.Scan
}

// Where rsync and the list do not go together, rsync compares everything in the same run.
func TestAListThatDoesNotWork(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"rsync does not get it": "rsync \"$@\" &\nwait $!\n",
		"rsync ends with 23":    "case \"$*\" in *--files-from*) cat >/dev/null; echo 'rsync: [sender] link_stat \"x\" failed: Not a directory (20)' >&2; exit 23 ;; esac\nexec rsync \"$@\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, "a/f", "b/g")
			testdest.Must(t, os.Link(p.src+"/a/f", p.src+"/b/f"))
			p.backup()
			program := filepath.Join(t.TempDir(), "rsync")
			testdest.Must(t, os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o700))
			p.set = func(o *rsbtbackup.BackupOptions) { o.RsyncProgram = program }
			p.write("a/f", "b/new")
			s := p.backup()
			if s.Mode != rsbtbackup.ScanFull {
				t.Errorf("%+v", s)
			}
			p.set = func(*rsbtbackup.BackupOptions) {}
			want(t, p.backup(), rsbtbackup.ScanWalk, "")
		})
	}
}

// A change that the catalog hides is found by the next check and reported, and the scan is not used until a full run
// was clean.
func TestAMissedChangeIsNoticed(t *testing.T) {
	t.Parallel()
	p := newPair(t, "a/f", "b/g")
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
	last := p.newest(p.walk)
	p.write("a/f")
	time.Sleep(2100 * time.Millisecond)
	// Another destination knows of the change; its catalog is put in the place of ours.
	other := filepath.Join(filepath.Dir(p.walk), "other")
	testdest.Must(t, os.Mkdir(other, 0o700))
	_, err := rsbtbackup.Init(t.Context(), other, rsbtbackup.InitOptions{})
	testdest.Must(t, err)
	r, err := rsbtbackup.Backup(t.Context(), p.options(other, rsbtbackup.ScanAuto))
	testdest.Must(t, err)
	data, err := os.ReadFile(filepath.Join(other, ".log", "catalog"))
	testdest.Must(t, errors.Join(err, os.WriteFile(filepath.Join(p.walk, ".log", "catalog"), data, 0o600)))
	p.editRecord(last, func(scan map[string]any) { scan["catalog"], scan["since_full"] = r.Scan.Catalog, 9 })
	p.log.Reset()
	p.misses = true
	if s := p.backup(); s.Missed != 1 || s.Mode != rsbtbackup.ScanFull {
		t.Errorf("%+v", s)
	}
	if text := p.log.String(); !strings.Contains(text, "the scan missed a change") || !strings.Contains(text, "path=a/f") {
		t.Errorf("the log says:\n%s", text)
	}
	if s := p.backup(); s.Mode != rsbtbackup.ScanFull || s.Why != "the last scan missed a change" || s.Missed != 0 {
		t.Errorf("%+v", s)
	}
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
}

func (p *pair) newest(dest string) string {
	p.t.Helper()
	name, err := os.Readlink(filepath.Join(dest, "cur"))
	testdest.Must(p.t, err)
	return name
}

func (p *pair) editRecord(name string, edit func(scan map[string]any)) {
	p.t.Helper()
	path := filepath.Join(p.walk, ".log", "records", name+".json")
	data, err := os.ReadFile(path)
	testdest.Must(p.t, err)
	var record map[string]any
	testdest.Must(p.t, json.Unmarshal(data, &record))
	edit(record["scan"].(map[string]any))
	data, err = json.Marshal(record)
	testdest.Must(p.t, errors.Join(err, os.WriteFile(path, data, 0o600)))
}

// A full run that checks the scan ignores changes of rsync that only undo the preparation.
func TestACheckOfOddThings(t *testing.T) {
	t.Parallel()
	p := newPair(t, "a/f", "a/setuid", "a/sub/x", "b/")
	testdest.Must(t, errors.Join(
		os.Link(p.src+"/a/f", p.src+"/b/f"), os.Symlink("f", p.src+"/a/link"), os.Link(p.src+"/a/link", p.src+"/b/link"),
		unix.Mknod(p.src+"/a/node", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))), unix.Mkfifo(p.src+"/a/fifo", 0o600),
		os.Link(p.src+"/a/fifo", p.src+"/b/fifo"), unix.Chmod(p.src+"/a/setuid", 0o4755),
	))
	p.backup()
	time.Sleep(2100 * time.Millisecond)
	for range 20 {
		if s := p.backup(); s.Missed != 0 {
			t.Fatalf("%+v\n%s", s, p.log.String())
		}
	}
}

func TestWithRestrictedModes(t *testing.T) {
	t.Parallel()
	p := newPair(t, "a/f", "ro/f", "ro/sub/g")
	testdest.Must(t, errors.Join(os.Chmod(p.src+"/ro/f", 0o400), os.Chmod(p.src+"/ro/sub", 0o500), os.Chmod(p.src+"/ro", 0o500)))
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
	p.write("ro/sub/g", "ro/sub/new")
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
}

// What is mounted below the source, with and without --one-file-system.
func TestMounts(t *testing.T) {
	t.Parallel()
	for _, one := range []bool{false, true} {
		t.Run(fmt.Sprintf("one file system %v", one), func(t *testing.T) {
			p := newPair(t, "at/under", "b/f")
			p.set = func(o *rsbtbackup.BackupOptions) { o.OneFileSystem = one; o.Force = true }
			p.backup()
			mount := loopfs.NewFS(t, "512M", "ext4")
			testdest.Must(t, os.WriteFile(mount+"/inside", []byte("x"), 0o644))
			testdest.Must(t, unix.Mount(mount, p.src+"/at", "", unix.MS_BIND, ""))
			mounted := true
			unmount := func() {
				if mounted {
					testdest.Must(t, unix.Unmount(p.src+"/at", 0))
					mounted = false
				}
			}
			t.Cleanup(unmount)
			p.backup()
			p.write("at/new", "b/f")
			p.backup()
			p.backup()
			unmount()
			p.backup()
			p.backup()
		})
	}
}

// An ordinary user's backups are made by a walk too: what only root may read changes nothing in that, and a file that
// this user cannot read does not hide what changed elsewhere.
func TestAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	disk, src := loopfs.New(t, "512M", "user_subvol_rm_allowed"), filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "source")
	dest := filepath.Join(disk, "dest")
	for _, dir := range []string{dest, src, src + "/a", src + "/b"} {
		testdest.Must(t, os.Mkdir(dir, 0o755))
		testdest.Must(t, os.Chown(dir, nobody, nobody))
	}
	asUser := func(args ...string) testbin.Result {
		cmd := exec.Command(testbin.Path(t), args...)
		cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
		return testbin.Finish(t, testbin.As(nobody, cmd))
	}
	write := func(name, content string) {
		t.Helper()
		testdest.Write(t, filepath.Join(src, name), content)
		testdest.Must(t, os.Chown(filepath.Join(src, name), nobody, nobody))
	}
	testdest.WantExit(t, asUser("init", dest), 0)
	for _, name := range []string{"a/one", "a/two", "b/three"} {
		write(name, name)
	}
	made := 0
	backup := func(exit int) {
		t.Helper()
		r := asUser("backup", src, dest, "--json")
		testdest.WantExit(t, r, exit)
		made++
		list := testdest.Backups(t, dest)
		scan := list[len(list)-1].Record.Scan
		// Nothing is known before the first run, nor after one that could not read everything, which rsync was then
		// asked about.
		if walks := made > 1 && exit == 0 && list[len(list)-2].Status == rsbtbackup.Complete; scan == nil || (scan.Mode == rsbtbackup.ScanWalk) != walks || scan.Missed != 0 {
			t.Errorf("run %d: %+v, want a walk: %v", made, scan, walks)
		}
		if len(list) != made {
			t.Fatalf("%d backups, want %d", len(list), made)
		}
		if exit == 0 {
			testdest.WantSame(t, src, filepath.Join(dest, list[made-1].Name))
		}
	}
	backup(0)
	backup(0)
	write("a/one", "changed")
	backup(0)
	testdest.Must(t, unix.Setxattr(filepath.Join(src, "b"), "trusted.note", []byte("of root"), 0))
	testdest.Must(t, unix.Removexattr(filepath.Join(src, "b"), "trusted.note"))
	testdest.Must(t, os.Rename(filepath.Join(src, "a", "two"), filepath.Join(src, "b", "two")))
	backup(0)
	secret := filepath.Join(src, "b", "secret")
	testdest.Must(t, os.WriteFile(secret, []byte("x"), 0o600)) // of root
	write("a/one", "changed while something could not be read")
	backup(3)
	list := testdest.Backups(t, dest)
	if got := testdest.Read(t, filepath.Join(dest, list[made-1].Name, "a", "one")); got != "changed while something could not be read" {
		t.Errorf("a/one is %q", got)
	}
	testdest.Must(t, os.Remove(secret))
	backup(0)
}
