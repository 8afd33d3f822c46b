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

// Take makes a snapshot of the subvolume that a local source lies in, and returns the source as it is there.
func Take(ctx context.Context, src *source.Source, o Options) (*source.Source, *Snapshot, error) {
	if !src.Local() {
		return nil, nil, refused("SRC %s is on another machine, and a snapshot is taken of what is here", src.Shown)
	}
	home, rel, err := findHome(src)
	if err != nil {
		return nil, nil, err
	}
	s := &Snapshot{home: home, origins: map[string]string{}}
	frozen, err := s.take(ctx, src, rel, o)
	if err != nil {
		return nil, nil, errors.Join(err, s.Remove(context.WithoutCancel(ctx)))
	}
	return frozen, s, nil
}

func refused(format string, args ...any) error {
	return fail.Kind(facts.ErrUsage, &facts.SnapshotError{Err: fmt.Errorf(format, args...)})
}

// findHome opens the root of the subvolume that the source lies in, and tells where in it that is. All that is on the way
// up has the device number of the subvolume, which no other one has.
func findHome(src *source.Source) (home *os.File, rel string, err error) {
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

// take makes the snapshot. What it has made when it fails, Remove removes.
func (s *Snapshot) take(ctx context.Context, src *source.Source, rel string, o Options) (*source.Source, error) {
	info, err := btrfs.SubvolumeInfo(s.home)
	if err != nil {
		return nil, fail.Kind(facts.ErrSource, err)
	}
	if info.ReadOnly {
		return nil, refused("SRC %s is read-only, and needs no snapshot", src.Shown)
	}
	if err := s.lockHome(ctx); err != nil {
		return nil, err
	}
	if err := s.sweep(ctx, info.UUID, o.Log); err != nil {
		return nil, err
	}
	list := func() ([]nested, error) {
		children, err := nestedBelow(s.home, rel, o.LeftOut)
		if err != nil {
			return nil, fail.Kind(facts.ErrSource, err)
		}
		return children, mayLeaveOut(src, children, o)
	}
	if _, err := list(); err != nil { // before anything is called
		return nil, err
	}
	if err := s.create(ctx, info.UUID, list, o); err != nil {
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
