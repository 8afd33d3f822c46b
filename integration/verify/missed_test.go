//go:build integration

package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// dedupe lets to share the blocks of from, which has the same content: what duperemove and bees do, in backups too.
func dedupe(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	testdest.Must(t, err)
	defer src.Close()
	dst, err := os.Open(to)
	testdest.Must(t, err)
	defer dst.Close()
	st, err := src.Stat()
	testdest.Must(t, err)
	arg := unix.FileDedupeRange{Src_length: uint64(st.Size()), Info: []unix.FileDedupeRangeInfo{{Dest_fd: int64(dst.Fd())}}}
	testdest.Must(t, unix.IoctlFileDedupeRange(int(src.Fd()), &arg))
	if info := arg.Info[0]; info.Status != unix.FILE_DEDUPE_RANGE_SAME || info.Bytes_deduped != uint64(st.Size()) {
		t.Fatalf("not shared: %+v", info)
	}
	unix.Sync()
}

// wantDamaged verifies all backups, which must find one file damaged in just these.
func (s *store) wantDamaged(t *testing.T, path string, backups ...string) {
	t.Helper()
	report := s.verify(t, rsbtbackup.VerifyOptions{})
	found := map[string]bool{}
	for _, d := range report.Damages {
		if d.Path != path {
			t.Errorf("damaged: %+v", d)
		}
		found[d.Backup] = true
		for _, same := range d.Shared {
			found[same.Backup] = true
		}
	}
	for _, name := range backups {
		if !found[name] {
			t.Errorf("%s in %s is not reported: %+v", path, name, report.Damages)
		}
	}
	if len(found) != len(backups) {
		t.Errorf("damage in %v, want %q", found, backups)
	}
}

// The first blocks of a tree hold nothing but its root directory.
func TestLostRootDirectoryOfALaterBackup(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "one", 10)
	s.backup(t)
	for i := range 3000 {
		s.write(t, fmt.Sprintf("a-file-with-a-long-name-%04d", i), 0)
	}
	second := s.backup(t)
	s.loseLeaf(t, s.snapshots(t)[1].ID, "DIR_INDEX")
	report, err := rsbtbackup.Verify(t.Context(), s.dest, rsbtbackup.VerifyOptions{})
	if !errors.Is(err, rsbtbackup.ErrDamaged) || len(report.Damages) == 0 || report.Damages[0].Backup != second {
		t.Errorf("%v: %+v", err, report)
	}
}

// A backup that changed after the next one was made from it can have lost what that one inherited.
func TestADeduplicatedBackupIsNoBase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "one", 1<<20)
	data, err := os.ReadFile(filepath.Join(s.src, "one"))
	testdest.Must(t, err)
	testdest.Must(t, os.WriteFile(filepath.Join(s.src, "two"), data, 0o644))
	s.write(t, "keep", 1<<20)
	first := s.backup(t)
	s.write(t, "new", 5000)
	second := s.backup(t)
	dedupe(t, filepath.Join(s.dest, first, "one"), filepath.Join(s.dest, first, "two"))
	s.corrupt(t, second, "two", 65536)
	s.wantDamaged(t, "two", second)
}

// Deduplication can bring data into a backup that is older than its base, which has it not.
func TestDataFromElsewhereIsRead(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "new", 1<<20)
	data, err := os.ReadFile(filepath.Join(s.src, "new"))
	testdest.Must(t, err)
	outside := filepath.Join(s.image.Mount, "outside")
	testdest.Must(t, os.WriteFile(outside, data, 0o644))
	unix.Sync()
	testdest.Must(t, os.Rename(filepath.Join(s.src, "new"), filepath.Join(t.TempDir(), "new")))
	s.write(t, "old", 1<<20)
	s.backup(t)
	testdest.Must(t, os.WriteFile(filepath.Join(s.src, "new"), data, 0o644))
	second := s.backup(t)
	dedupe(t, outside, filepath.Join(s.dest, second, "new"))
	s.corrupt(t, second, "new", 65536)
	s.wantDamaged(t, "new", second)
}

// Extended attributes are a part of a backup.
func TestLostAttributes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.src = filepath.Join(s.image.Mount, "src") // ext4 takes no attributes of that size
	s.write(t, "one", 10)
	s.backup(t)
	s.write(t, "file", 10)
	for i := range 5 {
		testdest.Must(t, unix.Setxattr(filepath.Join(s.src, "file"), fmt.Sprintf("user.%d", i), []byte(strings.Repeat("x", 12000)), 0))
	}
	second := s.backup(t)
	s.loseLeaf(t, s.snapshots(t)[1].ID, "XATTR_ITEM")
	report, err := rsbtbackup.Verify(t.Context(), s.dest, rsbtbackup.VerifyOptions{})
	if !errors.Is(err, rsbtbackup.ErrDamaged) || len(report.Damages) != 1 || report.Damages[0].Backup != second || report.Damages[0].Path != "file" {
		t.Errorf("%v: %+v", err, report)
	}
}

// The kernel is not asked of every block of a large damage who else has it.
func TestALargeDamageIsSeenInEveryBackup(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "big", 4<<20)
	first := s.backup(t)
	s.change(t, "big", 0, 2<<20)
	s.write(t, "new", 10)
	testdest.Must(t, os.Chtimes(filepath.Join(s.src, "big"), past, past)) // of the same size
	second := s.backup(t)
	f, err := os.Open(filepath.Join(s.dest, first, "big"))
	testdest.Must(t, err)
	defer f.Close()
	extents, err := btrfs.Extents(f, 0, 4<<20)
	testdest.Must(t, err)
	for _, e := range extents {
		start := s.physical(t, e.Address)
		for at := e.Offset; at < e.Offset+e.Length; at += 4096 {
			if at < 300*4096 || at == 3<<20 { // of that block alone both have a part
				s.overwrite(t, start+int64(at-e.Offset))
			}
		}
	}
	s.wantDamaged(t, "big", first, second)
	if report := s.verify(t, rsbtbackup.VerifyOptions{NewOnly: true}); report.Damaged == 0 {
		t.Errorf("nothing was found clean: %+v", report)
	}
}

// What was found is kept in every record that can be read.
func TestOneBadRecordKeepsNoOtherFromBeingWritten(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 1<<20)
	first := s.backup(t)
	second := s.backup(t)
	testdest.Must(t, os.WriteFile(filepath.Join(s.dest, ".log/records", first+".json"), []byte("garbage"), 0o600))
	s.corrupt(t, second, "file", 65536)
	report, err := rsbtbackup.Verify(t.Context(), s.dest, rsbtbackup.VerifyOptions{})
	if !errors.Is(err, rsbtbackup.ErrDamaged) || len(report.Notices) != 1 {
		t.Errorf("%v, notices %q", err, report.Notices)
	}
	if r := s.snapshots(t)[1].Record; r == nil || r.Verified == nil || r.Verified.Result != rsbtbackup.Damaged {
		t.Errorf("the record of %s: %+v", second, r)
	}
}

// What something is mounted on cannot be read, and is not clean.
func TestAMountInABackupIsNotClean(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "dir/file", 10)
	name := s.backup(t)
	dir := filepath.Join(s.dest, name, "dir")
	testdest.Must(t, unix.Mount("none", dir, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	report, err := rsbtbackup.Verify(t.Context(), s.dest, rsbtbackup.VerifyOptions{})
	if !errors.Is(err, rsbtbackup.ErrUnread) || report.Unread != 1 || report.Backups[0].Result != rsbtbackup.Unread {
		t.Errorf("%v: %+v", err, report)
	}
}

// rsync takes zeros for what it cannot read, and calls them the same as the zeros of the source.
func TestAgainstReadsTheBackupItself(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "first", 10)
	s.backup(t)
	s.write(t, "file", 20480)
	f, err := os.OpenFile(filepath.Join(s.src, "file"), os.O_APPEND|os.O_WRONLY, 0)
	testdest.Must(t, err)
	_, err = f.Write(make([]byte, 61440))
	testdest.Must(t, errors.Join(err, f.Close()))
	name := s.backup(t)
	s.corrupt(t, name, "file", 40960)
	dropCaches(t)
	r := testbin.Run(t, "verify", s.dest, "latest", "--against", s.src)
	if r.Exit != 1 || strings.Contains(r.Stdout, "is the same") || !strings.Contains(r.Stderr, "file") {
		t.Errorf("exit %d\n%s\n%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// All names of a damaged file are reported.
func TestDamageOfAHardLink(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "dir/one", 1<<20)
	testdest.Must(t, os.Link(filepath.Join(s.src, "dir/one"), filepath.Join(s.src, "two")))
	first := s.backup(t)
	s.write(t, "new", 10)
	second := s.backup(t)
	s.corrupt(t, second, "two", 65536)
	report := s.verify(t, rsbtbackup.VerifyOptions{})
	found := map[rsbtbackup.DamagedFile]bool{}
	for _, d := range report.Damages {
		found[rsbtbackup.DamagedFile{Backup: d.Backup, Path: d.Path}] = true
		for _, same := range d.Shared {
			found[same] = true
		}
	}
	for _, want := range []rsbtbackup.DamagedFile{{Backup: first, Path: "dir/one"}, {Backup: first, Path: "two"}, {Backup: second, Path: "dir/one"}, {Backup: second, Path: "two"}} {
		if !found[want] {
			t.Errorf("%v is not reported: %+v", want, report.Damages)
		}
	}
}
