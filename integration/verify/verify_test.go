//go:build integration

package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// Fifty blocks of files small and large, hidden behind a warm cache, each found, each under the right name and at the
// right place; and none before.
func TestEveryOfFiftyDamagedBlocksIsFound(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const blocks = 50
	type place struct {
		path   string
		offset int64
	}
	var want []place
	for i := range blocks - 10 {
		path := fmt.Sprintf("dir%d/a file %02d\n", i%7, i)
		size := 4096 + s.rand.IntN(300_000)
		s.write(t, path, size)
		want = append(want, place{path, int64(s.rand.IntN((size+4095)/4096) * 4096)})
	}
	s.write(t, "large", 40<<20)
	for i := range int64(10) {
		want = append(want, place{"large", i*4<<20 + 8192})
	}
	s.write(t, "good", 1<<20)
	name := s.backup(t)

	if report := s.verify(t, rsbtbackup.VerifyOptions{}); report.Damaged != 0 || report.Files != blocks-10+2 || report.DeviceErrors != 0 {
		t.Fatalf("before anything was damaged: %+v", report)
	}
	for _, w := range want {
		s.corrupt(t, name, w.path, uint64(w.offset))
	}
	report := s.verify(t, rsbtbackup.VerifyOptions{})
	var got []place
	for _, d := range report.Damages {
		if d.Backup != name || d.Kind != rsbtbackup.DataDamage || len(d.Shared) > 0 || d.Elsewhere > 0 || d.Intact != "" {
			t.Errorf("damage: %+v", d)
		}
		for _, r := range d.Ranges {
			got = append(got, place{d.Path, r.Offset})
			if r.Length > 4096 {
				t.Errorf("%q: %d bytes at %d, want one block", d.Path, r.Length, r.Offset)
			}
		}
	}
	byPlace := func(a, b place) int {
		return strings.Compare(fmt.Sprintf("%s %12d", a.path, a.offset), fmt.Sprintf("%s %12d", b.path, b.offset))
	}
	slices.SortFunc(want, byPlace)
	slices.SortFunc(got, byPlace)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(place{})); diff != "" {
		t.Error(diff)
	}

	r := testbin.Run(t, "verify", s.dest, name[:10])
	if r.Exit != 1 || strings.Count(r.Stdout, "damaged: ") != blocks-9 || !strings.Contains(r.Stdout, `damaged: $'dir0/a file 00\012' in `+name) {
		t.Errorf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// A damaged block is in the backups that share it and in no other, and an older version without it is named.
func TestWhoSharesTheDamageAndWhatIsIntact(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 256<<10)
	s.write(t, "other", 64<<10)
	s.write(t, "only-new-ones-have-it", 1)
	first := s.backup(t)
	s.change(t, "file", 128<<10, 4096)
	second := s.backup(t)
	third := s.backup(t)
	s.change(t, "file", 64<<10, 4096)
	testdest.Must(t, os.Rename(filepath.Join(s.src, "other"), filepath.Join(s.src, "moved")))
	fourth := s.backup(t)
	s.change(t, "file", 128<<10, 4096)
	fifth := s.backup(t)
	s.sync(t)
	s.corrupt(t, third, "file", 128<<10) // of the second: shared by the third and the fourth

	same := func(names ...string) (files []rsbtbackup.DamagedFile) {
		for _, n := range names {
			files = append(files, rsbtbackup.DamagedFile{Backup: n, Path: "file"})
		}
		return files
	}
	want := func(backup string, shared ...string) rsbtbackup.Damage {
		return rsbtbackup.Damage{
			Backup: backup, Path: "file", Kind: rsbtbackup.DataDamage, Bytes: 4096, Error: "input/output error",
			Ranges: []rsbtbackup.DamagedRange{{Offset: 128 << 10, Length: 4096}},
			Shared: same(shared...), Intact: first,
		}
	}
	for _, tt := range []struct {
		backup string
		want   []rsbtbackup.Damage
	}{
		{first, []rsbtbackup.Damage{}},
		{third, []rsbtbackup.Damage{want(third, second, fourth)}},
		{fourth, []rsbtbackup.Damage{want(fourth, second, third)}},
		{fifth, []rsbtbackup.Damage{}},
		{"", []rsbtbackup.Damage{want(second, third, fourth)}},
	} {
		report := s.verify(t, rsbtbackup.VerifyOptions{Backup: tt.backup})
		if diff := cmp.Diff(tt.want, append([]rsbtbackup.Damage{}, report.Damages...)); diff != "" {
			t.Errorf("verify %q: %s", tt.backup, diff)
		}
	}
	var results []string
	for _, b := range s.snapshots(t) {
		results = append(results, string(b.Record.Verified.Result))
	}
	if diff := cmp.Diff([]string{"clean", "damaged", "damaged", "damaged", "clean"}, results); diff != "" {
		t.Error(diff)
	}
	if out := testbin.Must(t, "list", s.dest).Stdout; strings.Count(out, "damaged") != 3 {
		t.Error(out)
	}

	// Without root the kernel tells less, but enough for files that kept their names.
	testdest.Must(t, os.Chmod(s.image.Mount, 0o755))
	testdest.Tool(t, "chown", "-R", "65534", s.dest+"/.log")
	testdest.Must(t, os.Chown(s.dest, 65534, 65534))
	testdest.Tool(t, "sh", "-c", `for b in "$1"/2*; do btrfs property set -ts "$b" ro false && chown -R 65534 "$b" && btrfs property set -ts "$b" ro true; done`, "sh", s.dest)
	cmd := exec.Command(testbin.Path(t), "verify", "--json", s.dest, fourth)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, _ := cmd.Output()
	var d struct {
		Type string
		rsbtbackup.Damage
	}
	line, _, _ := strings.Cut(string(out), "\n")
	testdest.Must(t, json.Unmarshal([]byte(line), &d))
	if diff := cmp.Diff(want(fourth, second, third), d.Damage); diff != "" || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), diff)
	}
}

// A backup that is damaged stays so, and one made on it by sizes and times shares that. Known damage is not passed on:
// the next backup has what cannot be read copied anew. A damaged block of zeros would compare equal, and one that rsync
// would write a part of cannot be written.
func TestTheNextBackupHeals(t *testing.T) {
	for _, mode := range []string{"--inplace", "--no-inplace"} {
		t.Run(mode, func(t *testing.T) {
			s := newStore(t)
			damage := map[string][]uint64{"small": {0}, "tail": {4096}, "block": {64 << 10}, "zeros": {80 << 10}, "long": nil}
			for name, size := range map[string]int{"small": 3000, "tail": 5000, "block": 256 << 10, "long": 2 << 20, "whole": 100_000} {
				s.write(t, name, size)
			}
			zeros := append(bytes.Repeat([]byte{'x'}, 64<<10), make([]byte, 128<<10)...)
			testdest.Must(t, os.WriteFile(s.src+"/zeros", zeros, 0o600))
			testdest.Must(t, os.Link(s.src+"/block", s.src+"/linked"))
			for at := uint64(64 << 10); at < 512<<10; at += 4096 {
				damage["long"] = append(damage["long"], at)
			}
			time.Sleep(2100 * time.Millisecond) // the content of what changed less than two seconds before a walk is compared by the next run
			first := s.backup(t)
			s.sync(t)
			for name, blocks := range damage {
				for _, at := range blocks {
					s.corrupt(t, first, name, at)
				}
			}
			dropCaches(t)
			shares := s.backup(t)
			r := testbin.Run(t, "verify", s.dest, "latest")
			if r.Exit != 1 || !strings.Contains(r.Stdout, "damaged files stay damaged") ||
				!strings.Contains(r.Stderr, "hint: to copy damaged files again from the source: rsbtbackup backup "+s.src+" "+s.dest+"\n") {
				t.Errorf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
			}
			r = testbin.Run(t, "backup", s.src, s.dest, mode)
			if r.Exit != 0 || !strings.Contains(r.Stderr, shares+", is known to be damaged") {
				t.Fatalf("the next backup: exit %d\n%s", r.Exit, r.Stderr)
			}
			if stats := s.snapshots(t)[2].Record.Stats; stats.Transferred != int64(len(damage)) {
				t.Errorf("%d files were copied anew, want %d", stats.Transferred, len(damage))
			}
			testbin.Must(t, "verify", s.dest, "latest")
			testdest.Tool(t, "diff", "-r", s.src, s.dest+"/cur/")
			for _, name := range []string{first, shares} {
				if r := testbin.Run(t, "verify", s.dest, name); r.Exit != 1 {
					t.Errorf("%s is whole again: exit %d\n%s", name, r.Exit, r.Stdout)
				}
			}
			// What was just read is not proposed to be read.
			if r := testbin.Run(t, "verify", s.dest); r.Exit != 1 || !strings.Contains(r.Stderr, "hint: the newest backup is intact; to see the errors the disk has counted: rsbtbackup check "+s.dest+"\n") {
				t.Errorf("verify of all: exit %d\n%s", r.Exit, r.Stderr)
			}
			if r = testbin.Run(t, "backup", s.src, s.dest); strings.Contains(r.Stderr, "damaged") {
				t.Errorf("on a whole one: %s", r.Stderr)
			}
		})
	}
}

func TestCompressedAndSparseFiles(t *testing.T) {
	t.Parallel()
	s := newStore(t, "compress=zstd")
	testdest.Must(t, os.WriteFile(s.src+"/text", []byte(strings.Repeat("the same line again and again\n", 100_000)), 0o644))
	s.write(t, "sparse", 4096)
	s.change(t, "sparse", 1<<30, 100_000)
	testdest.Must(t, os.Truncate(s.src+"/sparse", 1<<31))
	testdest.Must(t, os.WriteFile(s.src+"/inline", []byte("short"), 0o644))
	testdest.Must(t, os.WriteFile(s.src+"/empty", nil, 0o644))
	testdest.Must(t, os.Symlink("nowhere", s.src+"/link"))
	testdest.Must(t, os.Link(s.src+"/text", s.src+"/text2"))
	testdest.Tool(t, "mkfifo", s.src+"/fifo")
	testbin.Must(t, "backup", "-q", s.src, s.dest, "--", "--sparse")
	name := s.snapshots(t)[0].Name
	report := s.verify(t, rsbtbackup.VerifyOptions{})
	if report.Files != 4 || report.Bytes < 3_000_000 || report.Bytes > 5_000_000 {
		t.Errorf("read %d files, %d bytes: holes and second names do not count", report.Files, report.Bytes)
	}
	s.corrupt(t, name, "text", 1<<20)
	s.corrupt(t, name, "sparse", 1<<30+8192)
	report = s.verify(t, rsbtbackup.VerifyOptions{})
	got := map[string][]rsbtbackup.DamagedRange{}
	for _, d := range report.Damages {
		got[strings.TrimSuffix(d.Path, "2")] = d.Ranges
	}
	want := map[string][]rsbtbackup.DamagedRange{
		"text":   {{Offset: 1 << 20, Length: 128 << 10}}, // a compressed extent is lost whole
		"sparse": {{Offset: 1<<30 + 8192, Length: 4096}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewOnlyGoesOnFromTheLastCleanOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "large", 20<<20)
	s.write(t, "small", 8192)
	first := s.backup(t)
	all := s.verify(t, rsbtbackup.VerifyOptions{NewOnly: true})
	if all.Bytes != 20<<20+8192 || all.Backups[0].Since != "" {
		t.Errorf("the first time everything is read: %+v", all)
	}
	s.change(t, "large", 1<<20, 4096)
	s.write(t, "new", 10_000)
	second := s.backup(t)
	s.change(t, "large", 2<<20, 8192)
	third := s.backup(t)
	s.corrupt(t, third, "large", 3<<20) // old, and so not looked at
	report := s.verify(t, rsbtbackup.VerifyOptions{NewOnly: true})
	want := []rsbtbackup.VerifiedBackup{
		{Name: second, Since: first, Result: rsbtbackup.Clean, Files: 2, Bytes: 4096 + 10_000},
		{Name: third, Since: second, Result: rsbtbackup.Clean, Files: 1, Bytes: 8192},
	}
	for i := range report.Backups {
		got := &report.Backups[i]
		if most := want[i].Bytes + deltaSlack; got.Bytes < want[i].Bytes || got.Bytes > most {
			t.Errorf("%s: %d bytes read, want %d to %d", got.Name, got.Bytes, want[i].Bytes, most)
		}
		got.Bytes = want[i].Bytes
	}
	if diff := cmp.Diff(want, report.Backups); diff != "" {
		t.Error(diff)
	}
	if report := s.verify(t, rsbtbackup.VerifyOptions{NewOnly: true}); len(report.Backups) != 0 {
		t.Errorf("nothing is new: %+v", report)
	}
	// In full it is found, and the clean ones are clean no more.
	if report := s.verify(t, rsbtbackup.VerifyOptions{Backup: third}); report.Damaged != 1 {
		t.Errorf("%+v", report)
	}
	report = s.verify(t, rsbtbackup.VerifyOptions{NewOnly: true, Backup: third})
	if report.Damaged != 1 || report.Backups[0].Since != "" {
		t.Errorf("nothing is known to be clean: %+v", report)
	}
}

// Data that backups share is read once.
func TestAllBackupsReadSharedDataOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "large", 20<<20)
	for i := range int64(5) {
		s.backup(t)
		s.change(t, "large", i<<20, 4096)
	}
	report := s.verify(t, rsbtbackup.VerifyOptions{})
	least := int64(20<<20 + 4*4096)
	if report.Bytes < least || report.Bytes > least+4*deltaSlack || len(report.Backups) != 5 {
		t.Errorf("read %d bytes of %d backups, want about %d of 5", report.Bytes, len(report.Backups), least)
	}
}

// deltaSlack is what rsync writes around a change: its blocks are not those of the file system.
const deltaSlack = 16 << 10

// What may not be read is not damaged.
func TestUnreadableIsNotDamaged(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "mine", 5000)
	s.write(t, "secret", 5000)
	testdest.Must(t, os.Chmod(s.src+"/secret", 0o600))
	testdest.Must(t, os.Chmod(s.src, 0o755))
	s.backup(t)
	testdest.Must(t, os.Chmod(s.image.Mount, 0o755))
	testdest.Tool(t, "chown", "-R", "65534", s.dest+"/.log")
	testdest.Must(t, os.Chown(s.dest, 65534, 65534))
	cmd := exec.Command(testbin.Path(t), "verify", s.dest)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, _ := cmd.CombinedOutput()
	for _, want := range []string{"1 could not be read, no damage in the rest", "/secret: permission denied", "hint: sudo"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if cmd.ProcessState.ExitCode() != 1 || strings.Contains(string(out), "damaged:") {
		t.Errorf("exit %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	if v := s.snapshots(t)[0].Record.Verified; v != nil {
		t.Errorf("it counts as verified: %+v", v)
	}
}

// With few descriptors verify fails at one place or the next. What it has not looked at is not recorded as read.
func TestAVerifyThatFailsRecordsNothing(t *testing.T) {
	s := newStore(t)
	s.write(t, "dir/file", 100_000)
	s.backup(t)
	failed := 0
	for n := 4; n < 64; n++ {
		cmd := exec.Command("prlimit", fmt.Sprintf("--nofile=%d:%d", n, n), testbin.Path(t), "verify", "-q", s.dest)
		out, err := cmd.CombinedOutput()
		v := s.snapshots(t)[0].Record.Verified
		if err == nil && v != nil {
			break
		}
		if err == nil {
			continue // all was read, and there is a warning that it could not be recorded
		}
		failed++
		if v != nil {
			t.Fatalf("with %d descriptors it failed, and is recorded as %+v\n%s", n, v, out)
		}
	}
	if v := s.snapshots(t)[0].Record.Verified; failed < 3 || v == nil || v.Result != rsbtbackup.Clean {
		t.Errorf("it failed %d times, and at the end there is %+v", failed, v)
	}
}

// Root may work on the backups of another user. A log or a record written there must be that user's, who could not go
// on with root's.
func TestRecordsStayTheirOwners(t *testing.T) {
	s := newStore(t)
	s.write(t, "file", 1)
	name := s.backup(t)
	const owner, third = 65534, 65533
	logDir := filepath.Join(s.dest, ".log")
	give := func(path string, owner int) {
		testdest.Must(t, filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, owner, owner))
		}))
	}
	give(logDir, owner)
	testbin.Must(t, "verify", s.dest)
	testbin.Must(t, "pin", s.dest, name)
	testdest.Must(t, os.Remove(filepath.Join(logDir, "activity.log")))
	testbin.Must(t, "backup", s.src, s.dest)
	testdest.Must(t, filepath.WalkDir(logDir, func(path string, e fs.DirEntry, err error) error {
		testdest.Must(t, err)
		info, err := e.Info()
		testdest.Must(t, err)
		if got := info.Sys().(*syscall.Stat_t).Uid; got != owner {
			t.Errorf("%s belongs to user %d", path, got)
		}
		return nil
	}))

	log := filepath.Join(logDir, "activity.log")
	give(log, third)
	before, err := os.ReadFile(log)
	testdest.Must(t, err)
	if r := testbin.Run(t, "pin", s.dest, name); r.Exit != 1 || !strings.Contains(r.Stderr, "belongs to user id 65533") {
		t.Errorf("pin: exit %d, stderr %q", r.Exit, r.Stderr)
	}
	after, err := os.ReadFile(log)
	testdest.Must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the log of a third user was written to")
	}
}

func TestReadOnlyMount(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 5000)
	s.backup(t)
	s.image.SetOptions(t, "ro")
	r := testbin.Must(t, "verify", s.dest)
	if !strings.Contains(r.Stdout, "no damage") || !strings.Contains(r.Stderr, "not stored") {
		t.Errorf("%s%s", r.Stdout, r.Stderr)
	}
}

func TestAgainst(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "same", 5000)
	s.write(t, "changed", 5000)
	s.write(t, "gone", 10)
	name := s.backup(t)
	r := testbin.Must(t, "verify", s.dest, "latest", "--against", s.src)
	if !strings.Contains(r.Stdout, name+" is the same as "+s.src) {
		t.Error(r.Stdout)
	}
	// The content alone: size and time stay.
	before, err := os.Stat(s.src + "/changed")
	testdest.Must(t, err)
	s.change(t, "changed", 100, 1)
	testdest.Must(t, os.Chtimes(s.src+"/changed", before.ModTime(), before.ModTime()))
	testdest.Must(t, os.Remove(s.src+"/gone"))
	s.write(t, "new", 10)
	var found []string
	report, err := rsbtbackup.VerifyAgainst(t.Context(), s.dest, rsbtbackup.AgainstOptions{
		Source: s.src, Found: func(c rsbtbackup.Change) { found = append(found, c.Code[:3]+" "+c.Path) },
	})
	if !errors.Is(err, rsbtbackup.ErrDiffers) || report.Differences != len(found) {
		t.Errorf("%v, %+v", err, report)
	}
	slices.Sort(found)
	if diff := cmp.Diff([]string{"*de gone", ".d. .", ">f+ new", ">fc changed"}, found); diff != "" {
		t.Error(diff)
	}
	r = testbin.Run(t, "verify", s.dest, "--against", s.src)
	if r.Exit != 1 || !strings.Contains(r.Stderr, "differ in 4 entries") {
		t.Errorf("exit %d: %s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if r := testbin.Run(t, "verify", s.dest, "--against", s.src+"/nowhere"); r.Exit != 12 {
		t.Errorf("a source that is missing: exit %d", r.Exit)
	}
	if r := testbin.Run(t, "verify", s.dest, "1999"); r.Exit != 2 || !strings.Contains(r.Stderr, "no backup is called") {
		t.Errorf("exit %d: %s", r.Exit, r.Stderr)
	}
}
