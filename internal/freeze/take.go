package freeze

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// Options say how to take a snapshot.
type Options struct {
	Asked         bool     // a snapshot was asked for; otherwise the source itself is read
	Nested        bool     // also take snapshots of subvolumes nested below the source
	OneFileSystem bool     // nested subvolumes are left out
	LeftOut       []string // paths below the source that rules leave out
	// Before and After, if set, are called right before and after the snapshot is made. After is called whenever Before
	// was.
	Before, After func(ctx context.Context) error
	Log           *slog.Logger
}

// Snapshot is a source at one instant.
type Snapshot struct {
	at      time.Time
	origins map[string]string
	home    *os.File // the root of the source's subvolume
	name    string   // empty: nothing needs to be removed
	held    *os.File // the locked snapshot
}

// At is the time right before the snapshot was made; zero without a snapshot.
func (s *Snapshot) At() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.at
}

// Origins maps the UUIDs of the snapshots to those of their subvolumes.
func (s *Snapshot) Origins() map[string]string {
	if s == nil {
		return nil
	}
	return s.origins
}

// Take makes a snapshot of the subvolume that a local source is in, if asked for, and returns the source in the
// snapshot. If it fails, it returns src.
func Take(ctx context.Context, src *source.Source, o Options) (*source.Source, *Snapshot, error) {
	if !o.Asked {
		return src, nil, nil
	}
	home, rel, err := findHome(src)
	if err != nil {
		return src, nil, err
	}
	s := &Snapshot{home: home, origins: map[string]string{}}
	frozen, err := s.take(ctx, src, rel, o)
	if err != nil {
		return src, nil, errors.Join(err, s.Remove(context.WithoutCancel(ctx)))
	}
	o.Log.Info("reading a snapshot of the source", "path", frozen.Spec.Path)
	return frozen, s, nil
}

// Foresee refuses what Take would refuse, and changes nothing.
func Foresee(src *source.Source, o Options) (err error) {
	if !o.Asked {
		return nil
	}
	home, rel, err := findHome(src)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	if _, err := writable(home, src); err != nil {
		return err
	}
	_, err = list(home, src, rel, o)
	return err
}

func refused(format string, args ...any) error {
	return fail.Kind(facts.ErrUsage, &facts.SnapshotError{Err: fmt.Errorf(format, args...)})
}

// findHome opens the root of the subvolume that the source is in, and returns the path of the source in it. All
// directories on the way up have the device number of the subvolume, which is unique.
func findHome(src *source.Source) (home *os.File, rel string, err error) {
	if !src.Local() {
		return nil, "", refused("SRC %s is on another machine, and snapshots can be made only on this one", src.Shown)
	}
	real, err := filepath.EvalSymlinks(src.Spec.Path)
	if err != nil {
		return nil, "", fail.Kind(facts.ErrSource, err)
	}
	var device uint64
	for dir := real; ; dir = filepath.Dir(dir) {
		f, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, "", fail.Kind(facts.ErrSource, err)
		}
		st, err := at.StatFile(f)
		on, onErr := btrfs.IsBtrfs(f)
		if err := errors.Join(err, onErr); err != nil {
			return nil, "", errors.Join(fail.Kind(facts.ErrSource, err), f.Close())
		}
		top, err := btrfs.IsSubvolume(f)
		switch {
		case dir == real && !on:
			err = refused("SRC %s is not on btrfs, so no snapshot of it can be made", src.Shown)
		case dir != real && uint64(st.Dev) != device, dir == "/" && !top:
			err = refused("SRC %s: the root of its subvolume is not mounted above it, so no snapshot of it can be made", src.Shown)
		case err == nil && top:
			rel, err = filepath.Rel(dir, real)
			return f, rel, err
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, "", err
		}
		device = uint64(st.Dev)
	}
}

// writable returns the UUID of the source's subvolume. It refuses a read-only one, which needs no snapshot.
func writable(home *os.File, src *source.Source) (btrfs.UUID, error) {
	info, err := btrfs.SubvolumeInfo(home)
	if err != nil {
		return btrfs.UUID{}, fail.Kind(facts.ErrSource, err)
	}
	if info.ReadOnly {
		return btrfs.UUID{}, refused("SRC %s is read-only, and needs no snapshot", src.Shown)
	}
	return info.UUID, nil
}

// list returns the subvolumes nested below the source, or an error if a snapshot would lack some of them.
func list(home *os.File, src *source.Source, rel string, o Options) ([]nested, error) {
	children, err := nestedBelow(home, rel, o.LeftOut)
	if err != nil {
		return nil, fail.Kind(facts.ErrSource, err)
	}
	return children, mayLeaveOut(src, children, o)
}

// take makes the snapshot. If it fails, Remove removes what it has made.
func (s *Snapshot) take(ctx context.Context, src *source.Source, rel string, o Options) (*source.Source, error) {
	home, err := writable(s.home, src)
	if err != nil {
		return nil, err
	}
	if err := s.lockHome(ctx); err != nil {
		return nil, err
	}
	if err := s.sweep(ctx, home, o.Log); err != nil {
		return nil, err
	}
	listed := func() ([]nested, error) { return list(s.home, src, rel, o) }
	if _, err := listed(); err != nil { // before anything is called
		return nil, err
	}
	if err := s.create(ctx, home, listed, o); err != nil {
		return nil, err
	}
	if err := flock(s.home, unix.LOCK_UN); err != nil {
		return nil, err
	}
	return src.Elsewhere(filepath.Join(s.home.Name(), s.name, rel))
}

// create makes the snapshot, with Before and After called around it. list returns the subvolumes nested below the
// source.
func (s *Snapshot) create(ctx context.Context, home btrfs.UUID, list func() ([]nested, error), o Options) (err error) {
	if o.After != nil {
		defer func() { err = errors.Join(err, fail.Step("after the snapshot", o.After(context.WithoutCancel(ctx)))) }()
	}
	if o.Before != nil {
		if err := o.Before(ctx); err != nil {
			return fail.Step("before the snapshot", err)
		}
	}
	children, err := list()
	if err != nil {
		return err
	}
	name := source.NewSnapshotName(home)
	s.at = time.Now()
	err = keepTime(s.home, name, func() error {
		return btrfs.CreateSnapshot(s.home, name, s.home, btrfs.SnapshotOptions{ReadOnly: len(children) == 0})
	})
	if err != nil {
		return cannot(s.home, err)
	}
	s.name = name
	if s.held, err = btrfs.OpenDirAt(s.home, s.name); err != nil {
		return err
	}
	if err := flock(s.held, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return err
	}
	if err := s.note(s.held, home); err != nil {
		return err
	}
	after, err := list()
	if err != nil {
		return err
	}
	if err := appeared(children, after, o); err != nil {
		return err
	}
	for _, c := range children {
		if err := s.place(s.home, s.held, c, o.Nested); err != nil {
			return err
		}
	}
	if len(children) == 0 {
		return nil
	}
	return btrfs.SetReadOnly(s.held, true)
}
