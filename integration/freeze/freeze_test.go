//go:build integration

// Package freeze has tests of backups that read a snapshot of their source.
package freeze

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// subvolume makes one and returns its path.
func subvolume(t testing.TB, path string) string {
	t.Helper()
	dir, err := btrfs.OpenDir(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	must(t, btrfs.CreateSubvolume(dir, filepath.Base(path)))
	return path
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func initDest(t testing.TB, path string) string {
	t.Helper()
	must(t, os.MkdirAll(path, 0o700))
	_, err := rsbtbackup.Init(context.Background(), path, rsbtbackup.InitOptions{})
	must(t, err)
	return path
}

// world is a source in a subvolume, with another nested in it, and a DEST on the same filesystem.
type world struct {
	t         *testing.T
	home, src string
	dest      string
	options   rsbtbackup.BackupOptions
}

func newWorld(t *testing.T, disk, name, rel string) *world {
	t.Helper()
	w := &world{t: t, home: subvolume(t, filepath.Join(disk, name)), dest: initDest(t, filepath.Join(disk, name+"-dest"))}
	w.src = filepath.Join(w.home, rel)
	write(t, filepath.Join(w.src, "d/file"), "content")
	must(t, os.Link(filepath.Join(w.src, "d/file"), filepath.Join(w.src, "link")))
	must(t, unix.Setxattr(filepath.Join(w.src, "d"), "user.x", []byte("1"), 0))
	w.options = rsbtbackup.BackupOptions{Source: w.src, Dest: w.dest, SnapshotSource: true}
	return w
}

func (w *world) backup() *rsbtbackup.Report {
	w.t.Helper()
	r, err := rsbtbackup.Backup(context.Background(), w.options)
	must(w.t, err)
	w.nothingLeft()
	return r
}

// same compares a backup with the source as it is.
func (w *world) same(r *rsbtbackup.Report, flags ...string) {
	w.t.Helper()
	args := append([]string{"-aHAXnic", "--modify-window=-1", "--numeric-ids", "--delete"}, flags...)
	out, err := exec.Command("rsync", append(args, w.src+"/", filepath.Join(w.dest, r.Name)+"/")...).CombinedOutput()
	if err != nil || len(out) > 0 {
		w.t.Errorf("the backup is not the source: %v\n%s", err, out)
	}
}

func (w *world) nothingLeft() {
	w.t.Helper()
	if names := snapshots(w.t, w.home); len(names) > 0 {
		w.t.Errorf("left in the source: %q", names)
	}
}

func snapshots(t testing.TB, home string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(home, ".rsbtbackup-snapshot-*"))
	must(t, err)
	return names
}

// TestSnapshotIsTheSource: with the option, without it and with it again nothing is copied again, and the walk uses the
// last catalog; for the whole subvolume and for a directory in it.
func TestSnapshotIsTheSource(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	for name, rel := range map[string]string{"whole": ".", "part": "a/b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, disk, name, rel)
			before, err := os.Stat(w.home)
			must(t, err)
			w.options.SkipUnchanged = true
			first := w.backup()
			w.same(first)
			if after, err := os.Stat(w.home); err != nil || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("the source has another time: %v", err)
			}
			time.Sleep(2100 * time.Millisecond) // what changed less than two seconds before a walk is looked at again by the next one
			for i := range 6 {
				w.options.SnapshotSource = i%2 == 1
				if r := w.backup(); !r.Skipped || r.Scan.Mode == rsbtbackup.ScanFull {
					t.Errorf("run %d: %+v, %+v", i, r.Scan, r.Stats)
				}
			}
			w.options.SnapshotSource = true
			write(t, filepath.Join(w.src, "d/new"), "new")
			r := w.backup()
			w.same(r)
			if r.Skipped || r.Stats.Transferred != 1 || r.Scan.Mode == rsbtbackup.ScanFull {
				t.Errorf("one new file: %+v, %+v", r.Stats, r.Scan)
			}
			l, err := rsbtbackup.List(t.Context(), w.dest)
			must(t, err)
			if rec := l.Backups[len(l.Backups)-1].Record; rec.Source != w.src || rec.SnapshotAt.IsZero() || time.Since(rec.SnapshotAt) > time.Minute {
				t.Errorf("the record: %+v", rec)
			}
		})
	}
}

// TestOneInstant: what changes in the source while it is read is not in the backup, and no file vanishes.
func TestOneInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "src", ".")
	w.options.AfterSnapshot = func(context.Context) error {
		write(t, filepath.Join(w.src, "late"), "x")
		return os.Remove(filepath.Join(w.src, "d/file"))
	}
	r := w.backup()
	b := filepath.Join(w.dest, r.Name)
	if text, err := os.ReadFile(filepath.Join(b, "d/file")); string(text) != "content" {
		t.Errorf("what was there: %q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(b, "late")); !errors.Is(err, os.ErrNotExist) || r.RsyncExit != 0 {
		t.Errorf("what came later: %v, exit %d", err, r.RsyncExit)
	}
	w.options.AfterSnapshot = nil
	w.same(w.backup())
}

// TestChangedBetween: what changes after the snapshot and before the walk, within one tick of the clock of the
// filesystem too, is found by the next run.
func TestChangedBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "src", ".")
	w.backup()
	file := filepath.Join(w.src, "d/file")
	for i := range 4 {
		w.options.BeforeSnapshot = func(context.Context) error { return os.WriteFile(file, []byte{byte(i), 0, 'x'}, 0o644) }
		w.options.AfterSnapshot = func(context.Context) error { return os.WriteFile(file, []byte{byte(i), 1, 'x'}, 0o644) }
		w.backup()
		w.options.BeforeSnapshot, w.options.AfterSnapshot = nil, nil
		w.same(w.backup())
	}
}

func TestNested(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	nest := func(w *world) {
		for _, path := range []string{"d/n", "d/n/x/deep", "empty"} {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(w.src, path)), 0o755))
			write(t, filepath.Join(subvolume(t, filepath.Join(w.src, path)), "in"), path)
		}
		must(t, os.Chmod(filepath.Join(w.src, "empty"), 0o750))
	}
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t, disk, "refused", ".")
		nest(w)
		_, err := rsbtbackup.Backup(t.Context(), w.options)
		var refused *rsbtbackup.SnapshotError
		if !errors.As(err, &refused) || !errors.Is(err, rsbtbackup.ErrUsage) || strings.Join(refused.Nested, " ") != "d/n empty" {
			t.Errorf("%v", err)
		}
		w.options.Exclude = []string{"/d/n", "/empty"}
		w.same(w.backup(), "--exclude=/d/n", "--exclude=/empty")
		w.nothingLeft()
	})
	t.Run("as one file system", func(t *testing.T) {
		w := newWorld(t, disk, "one", ".")
		nest(w)
		w.options.OneFileSystem, w.options.SkipUnchanged = true, true
		w.same(w.backup(), "-x")
		if r := w.backup(); !r.Skipped {
			t.Errorf("nothing has changed: %+v", r.Stats)
		}
		w.options.SnapshotSource = false
		if r := w.backup(); !r.Skipped {
			t.Errorf("without a snapshot: %+v", r.Stats)
		}
	})
	t.Run("with them", func(t *testing.T) {
		w := newWorld(t, disk, "with", "a")
		nest(w)
		w.options.SnapshotSource, w.options.SnapshotNested, w.options.SkipUnchanged = false, true, true
		w.same(w.backup())
		time.Sleep(2100 * time.Millisecond)
		for i := range 4 {
			w.options.SnapshotNested = i%2 == 1
			if r := w.backup(); !r.Skipped || r.Scan.Mode == rsbtbackup.ScanFull {
				t.Errorf("run %d: %+v, %+v", i, r.Scan, r.Stats)
			}
		}
		w.options.SnapshotNested = true
		write(t, filepath.Join(w.src, "d/n/x/deep/in"), "changed")
		r := w.backup()
		if w.same(r); r.Stats.Transferred != 1 {
			t.Errorf("one file has changed: %+v", r.Stats)
		}
	})
}

// TestTheCheckOfALiveSource: a full run of the live source, which checks the scan, takes nothing that was made for a
// snapshot for a change that btrfs had not told of.
func TestTheCheckOfALiveSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "src", ".")
	w.dest = initDest(t, filepath.Join(loopfs.New(t, "1G"), "dest")) // what a run writes is no news at the source
	w.options.Dest = w.dest
	must(t, os.MkdirAll(filepath.Join(w.src, "a/b"), 0o755))
	write(t, filepath.Join(subvolume(t, filepath.Join(w.src, "a/b/n")), "in"), "nested")
	w.options.SnapshotNested = true
	for range 9 { // the 10th run after a full one is full
		w.backup()
	}
	time.Sleep(2100 * time.Millisecond) // what changed less than two seconds before a walk is looked at again by the next one
	w.backup()
	w.options.SnapshotSource, w.options.SnapshotNested = false, false
	r := w.backup()
	if w.same(r); r.Scan.Mode != rsbtbackup.ScanFull || r.Scan.Missed != 0 {
		t.Errorf("%+v", r.Scan)
	}
}

// TestNestedByAHook: a subvolume that the hook before the instant makes is in the snapshot too, or it is refused.
func TestNestedByAHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "src", ".")
	w.options.BeforeSnapshot = func(context.Context) error {
		write(t, filepath.Join(subvolume(t, filepath.Join(w.src, "d/n")), "in"), "nested")
		return nil
	}
	_, err := rsbtbackup.Backup(t.Context(), w.options)
	var refused *rsbtbackup.SnapshotError
	if !errors.As(err, &refused) || strings.Join(refused.Nested, " ") != "d/n" {
		t.Errorf("%v", err)
	}
	w.nothingLeft()
	must(t, os.RemoveAll(filepath.Join(w.src, "d/n")))
	w.options.SnapshotNested = true
	w.same(w.backup())
}

// TestLeftBehind: the next run removes what a killed one has left, and nothing else, nor what another run uses.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "src", ".")
	other := initDest(t, filepath.Join(filepath.Dir(w.home), "other"))
	kill := func(dest string) {
		fifo := filepath.Join(t.TempDir(), "fifo")
		must(t, unix.Mkfifo(fifo, 0o600))
		program := filepath.Join(t.TempDir(), "rsync")
		must(t, os.WriteFile(program, []byte("#!/bin/sh\ncase \"$*\" in --version) exec rsync --version ;; esac\necho > '"+fifo+"'\nexec sleep 100\n"), 0o755))
		cmd := exec.Command(testbin.Path(t), "backup", "--snapshot-source", "--rsync="+program, w.src, dest)
		must(t, cmd.Start())
		_, err := os.ReadFile(fifo) // rsync runs
		must(t, err)
		must(t, cmd.Process.Signal(syscall.SIGKILL))
		_ = cmd.Wait()
	}
	kill(w.dest)
	left := snapshots(t, w.home)
	if len(left) != 1 {
		t.Fatalf("a killed run has left %q", left)
	}
	for _, name := range []string{".rsbtbackup-snapshot-aaaaaaaaaaaaaaaa-0123456789abcdef", filepath.Base(left[0]) + "x"} {
		subvolume(t, filepath.Join(w.home, name))
	}
	w.options.SnapshotNested, w.options.LockWait = true, time.Minute // what the killed run has started still holds DEST
	w.options.AfterSnapshot = func(ctx context.Context) error {
		// Another run, beside this one, has a snapshot of its own, and leaves that of this one alone.
		o := rsbtbackup.BackupOptions{Source: w.src, Dest: other}
		r, err := rsbtbackup.Backup(ctx, o)
		if err != nil {
			return err
		}
		if names := snapshots(t, filepath.Join(other, r.Name)); len(names) != 2 {
			t.Errorf("a run without a snapshot has backed up %q", names)
		}
		if _, err := os.Lstat(left[0]); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what the killed run has left: %v", err)
		}
		return nil
	}
	r, err := rsbtbackup.Backup(t.Context(), w.options)
	must(t, err)
	if names := snapshots(t, w.home); len(names) != 2 {
		t.Errorf("after a run: %q", names)
	}
	if names := snapshots(t, filepath.Join(w.dest, r.Name)); len(names) != 2 {
		t.Errorf("in the backup: %q", names)
	}
}

// TestSnapshotRefused: each with a reason.
func TestSnapshotRefused(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	dest := initDest(t, filepath.Join(disk, "dest"))
	src := subvolume(t, filepath.Join(disk, "src"))
	write(t, filepath.Join(src, "m/in/f"), "x")
	plain := t.TempDir()
	write(t, filepath.Join(plain, "f"), "x")
	bind := t.TempDir()
	must(t, unix.Mount(filepath.Join(src, "m"), bind, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(bind, 0)) })
	for _, tt := range []struct {
		name, src, want string
		change          func(t *testing.T)
	}{
		{name: "not on btrfs", src: plain, want: "is not on btrfs"},
		{name: "on another machine", src: "host:/x", want: "is on another machine"},
		{name: "bind mount", src: filepath.Join(bind, "in"), want: "is not mounted above it"},
		{name: "mount below", src: src, want: `mounted below it, at m/in`, change: func(t *testing.T) {
			must(t, unix.Mount("none", filepath.Join(src, "m/in"), "tmpfs", 0, ""))
			t.Cleanup(func() { must(t, unix.Unmount(filepath.Join(src, "m/in"), 0)) })
		}},
		{name: "read-only subvolume", src: src, want: "is read-only", change: func(t *testing.T) {
			dir, err := btrfs.OpenDir(src)
			must(t, err)
			must(t, btrfs.SetReadOnly(dir, true))
			t.Cleanup(func() { must(t, errors.Join(btrfs.SetReadOnly(dir, false), dir.Close())) })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(t)
			}
			_, err := rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: tt.src, Dest: dest, SnapshotSource: true})
			if err == nil || !errors.Is(err, rsbtbackup.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
	if l, err := rsbtbackup.List(t.Context(), dest); err != nil || l.Pending || len(l.Backups) > 0 {
		t.Errorf("%v, %+v", err, l)
	}
}

// TestHooksAroundTheSnapshot: the second is called whenever the first was, and an error of either is one of the run.
func TestHooksAroundTheSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "src", ".")
	for _, tt := range []struct{ before, after error }{{nil, nil}, {errors.New("one"), nil}, {nil, errors.New("two")}} {
		var calls []string
		hook := func(name string, err error) func(context.Context) error {
			return func(context.Context) error {
				calls = append(calls, name+" "+map[bool]string{true: "snapshot", false: "none"}[len(snapshots(t, w.home)) > 0])
				return err
			}
		}
		w.options.BeforeSnapshot, w.options.AfterSnapshot = hook("before", tt.before), hook("after", tt.after)
		r, err := rsbtbackup.Backup(t.Context(), w.options)
		want := "before none, after snapshot"
		if tt.before != nil {
			want = "before none, after none"
		}
		failed := tt.before != nil || tt.after != nil
		if got := strings.Join(calls, ", "); got != want || (err != nil) != failed || (r.Name == "") != failed {
			t.Errorf("%+v: calls %q, %v", tt, got, err)
		}
		w.nothingLeft()
	}
}

// TestOwnerTakesSnapshots: an ordinary user does, of a subvolume of their own.
func TestOwnerTakesSnapshots(t *testing.T) {
	t.Parallel()
	const user = 12345
	disk := loopfs.New(t, "1G")
	src, dest := subvolume(t, filepath.Join(disk, "src")), filepath.Join(disk, "dest")
	write(t, filepath.Join(src, "d/file"), "content")
	must(t, os.Mkdir(dest, 0o700))
	for _, path := range []string{src, src + "/d", src + "/d/file", dest} {
		must(t, os.Lchown(path, user, user))
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command(testbin.Path(t), args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("init", dest); err != nil {
		t.Fatal(out)
	}
	for range 2 {
		if out, err := run("backup", "--snapshot-source", src, dest); err != nil || len(snapshots(t, src)) > 0 {
			t.Errorf("%v, left %q\n%s", err, snapshots(t, src), out)
		}
	}
	must(t, os.Lchown(src, 0, 0))
	if out, err := run("backup", "--snapshot-source", src, dest); err == nil || !strings.Contains(out, "only root and the owner of") {
		t.Errorf("of somebody else's: %v\n%s", err, out)
	}
}

// TestChangedWhileTheSnapshotIsMade: btrfs numbers changes by transactions. One that the snapshot was put together in,
// after its instant, may hold changes of the source as well.
func TestChangedWhileTheSnapshotIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "src", ".")
	for i := range 5 {
		write(t, filepath.Join(subvolume(t, filepath.Join(w.src, fmt.Sprint("nested", i))), "in"), "nested")
	}
	write(t, filepath.Join(w.src, "deep/er/file"), "content")
	w.options.SnapshotNested = true
	w.backup()
	time.Sleep(2100 * time.Millisecond) // what changed less than two seconds before a walk is looked at again by the next one
	w.backup()
	for _, live := range []bool{true, false} {
		made, over := make(chan struct{}), make(chan error)
		w.options.BeforeSnapshot = func(context.Context) error {
			go func() { over <- changeUntil(made, filepath.Join(w.src, "deep/er")) }()
			return nil
		}
		w.options.AfterSnapshot = func(context.Context) error { close(made); return <-over }
		w.options.SnapshotSource, w.options.SnapshotNested = true, true
		w.backup()
		w.options.BeforeSnapshot, w.options.AfterSnapshot = nil, nil
		w.options.SnapshotSource, w.options.SnapshotNested = !live, !live
		if r := w.backup(); r.Scan.Mode == rsbtbackup.ScanFull {
			t.Errorf("everything was compared: %+v", r.Scan)
		} else {
			w.same(r)
		}
	}
}

// changeUntil makes one directory after the other, each with a file, until that is over.
func changeUntil(over chan struct{}, dir string) error {
	for i := 0; ; i++ {
		select {
		case <-over:
			return nil
		default:
		}
		name := filepath.Join(dir, fmt.Sprint(i%20))
		if err := errors.Join(os.MkdirAll(name, 0o755), os.WriteFile(filepath.Join(name, "f"), fmt.Append(nil, i), 0o644)); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // so that the files are not all of the last transaction
	}
}
