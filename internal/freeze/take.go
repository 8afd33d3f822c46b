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

// Options say how a snapshot is taken.
type Options struct {
	Asked         bool     // for a snapshot: otherwise the source is read as it is
	Nested        bool     // of the subvolumes nested below the source too
	OneFileSystem bool     // what is nested is left out
	LeftOut       []string // paths below the source that rules leave out
	// Before and After, if set, are called around the instant. After is called whenever Before was.
	Before, After func(ctx context.Context) error
	Log           *slog.Logger
}

// Snapshot is a source at one instant.
type Snapshot struct {
	at      time.Time
	origins map[string]string
	home    *os.File // the root of the source's subvolume
	name    string   // empty: nothing is there to be removed
	held    *os.File // the snapshot, with the lock on it
}

// At is right before the instant; the zero time of no snapshot.
func (s *Snapshot) At() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.at
}

// Origins are, by the UUIDs of the subvolumes that were made, those of the subvolumes that they stand for.
func (s *Snapshot) Origins() map[string]string {
	if s == nil {
		return nil
	}
	return s.origins
}

// Take makes a snapshot of the subvolume that a local source lies in, if that is asked for, and returns the source as
// it is there. If it fails that is the source as it was.
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

// Foresee refuses what Take would for what the source is and holds, and changes nothing.
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

// findHome opens the root of the subvolume that the source lies in, and tells where in it that is. All that is on the
// way up has the device number of the subvolume, which no other one has.
func findHome(src *source.Source) (home *os.File, rel string, err error) {
	if !src.Local() {
		return nil, "", refused("SRC %s is on another machine, and a snapshot is taken of what is here", src.Shown)
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
			err = refused("SRC %s is not on btrfs, so no snapshot of it can be taken", src.Shown)
		case dir != real && uint64(st.Dev) != device, dir == "/" && !top:
			err = refused("SRC %s: the root of its subvolume is not mounted above it, so no snapshot of it can be taken", src.Shown)
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

// writable returns the UUID of the source's subvolume, which no snapshot is needed of if it is read-only.
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

// list tells what is nested below the source, unless a snapshot would lack some of it.
func list(home *os.File, src *source.Source, rel string, o Options) ([]nested, error) {
	children, err := nestedBelow(home, rel, o.LeftOut)
	if err != nil {
		return nil, fail.Kind(facts.ErrSource, err)
	}
	return children, mayLeaveOut(src, children, o)
}

// take makes the snapshot. What it has made when it fails, Remove removes.
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

// create makes the snapshot between the two calls around the instant. list tells what is nested below the source.
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
