package replica

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"golang.org/x/sys/unix"
)

// SendOptions are the options of Send. The zero value is usable.
type SendOptions struct {
	// Parent is a backup of the same DEST that the receiver has: only what differs from it is sent.
	Parent string
	Now    time.Time // zero is the present
}

// SendReport says what Send wrote.
type SendReport struct {
	Dest   string     `json:"dest"`
	Backup string     `json:"backup"`
	Parent string     `json:"parent,omitempty"`
	UUID   btrfs.UUID `json:"uuid"`
	Bytes  uint64     `json:"bytes"` // written
}

// Send writes a backup to w as an archive, for Receive.
func Send(ctx context.Context, dest, ref string, o SendOptions, w io.Writer) (*SendReport, error) {
	report := &SendReport{Dest: dest}
	s, err := store.Open(dest)
	if err != nil {
		return report, err
	}
	defer s.Close()
	report.Dest = s.Path
	st, err := s.ReadState(time.Local)
	if err != nil {
		return report, fail.Step("read", err)
	}
	b, item, err := findItem(s, st, ref)
	if err != nil {
		return report, fail.Step("find", err)
	}
	report.Backup, report.UUID = b.Name, item.Origin
	out := outgoing{store: s, backup: b, item: item}
	if o.Parent != "" {
		_, parent, err := findItem(s, st, o.Parent)
		if err != nil {
			return report, fail.Step("find", err)
		}
		if !parent.Base {
			return report, fail.Step("find", fail.Kindf(facts.ErrUsage, "%s has been changed since it was made, so no increment can build on it", parent.Name))
		}
		out.parent, report.Parent = &parent, parent.Name
	}
	if item.WhyNot != "" {
		return report, fail.Step("send", fail.Kindf(facts.ErrUsage, "%s: %s", b.Name, item.WhyNot))
	}
	report.Bytes, err = out.archive(ctx, w, store.Now(o.Now))
	return report, fail.Step("send", err)
}

func findItem(s *store.Store, st *store.State, ref string) (facts.Snapshot, Item, error) {
	b, err := st.Find(ref)
	if err != nil {
		return b, Item{}, err
	}
	item, err := itemOf(s, b)
	return b, item, err
}

// outgoing is a backup to be sent.
type outgoing struct {
	store  *store.Store
	backup facts.Snapshot
	item   Item
	parent *Item
	plain  bool // not as it is compressed on disk
}

func (o outgoing) manifest(now time.Time) Manifest {
	host, _ := os.Hostname() // for people
	m := Manifest{Format: formatVersion, Name: o.backup.Name, UUID: o.item.Origin, Host: host, Dest: o.store.Path, Created: now.UTC()}
	m.Record = recordFor(o.backup, o.item.Origin, host, o.store.Path, now.UTC())
	if o.parent != nil {
		m.Parent, m.ParentUUID = o.parent.Name, o.parent.Origin
	}
	return m
}

// archive writes the whole of it and tells how many bytes that was.
func (o outgoing) archive(ctx context.Context, w io.Writer, now time.Time) (uint64, error) {
	a, err := newArchiveWriter(w, o.manifest(now))
	if err == nil {
		err = o.stream(ctx, a)
	}
	if err == nil {
		err = a.finish()
	}
	if a == nil {
		return 0, err
	}
	return a.n, err
}

// stream writes the send stream, in the newest version that both ends know.
func (o outgoing) stream(ctx context.Context, w io.Writer) error {
	root, err := btrfs.OpenDirAt(o.store.Dir, o.backup.Name)
	if err != nil {
		return err
	}
	defer root.Close()
	options := btrfs.SendOptions{Version: 2, Compressed: !o.plain}
	var parent *os.File
	if o.parent != nil {
		if parent, err = btrfs.OpenDirAt(o.store.Dir, o.parent.Name); err != nil {
			return err
		}
		defer parent.Close()
		options.CloneSources = []*os.File{parent}
	}
	counted := &counter{w: w}
	err = btrfs.Send(ctx, root, parent, counted, options)
	if counted.n == 0 && isTooOld(err) { // Linux before 6.0
		options.Version, options.Compressed = 0, false
		err = btrfs.Send(ctx, root, parent, w, options)
	}
	if gone := o.store.Gone(o.backup); err != nil && errors.Is(gone, facts.ErrBackupGone) {
		return gone
	}
	return err
}

func isTooOld(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTO) || errors.Is(err, unix.EINVAL)
}

type counter struct {
	w io.Writer
	n uint64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += uint64(n)
	return n, err
}

// isBrokenPipe: whoever reads has stopped, and knows why.
func isBrokenPipe(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
