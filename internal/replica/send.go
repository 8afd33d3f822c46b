package replica

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pace"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// SendOptions are those of rsbtbackup.SendOptions, where each has its comment.
type SendOptions struct {
	Parent string
	Now    time.Time
}

// SendReport is rsbtbackup.SendReport.
type SendReport struct {
	Dest   string     `json:"dest"`
	Backup string     `json:"backup"`
	Parent string     `json:"parent,omitempty"`
	UUID   btrfs.UUID `json:"uuid"`
	Bytes  uint64     `json:"bytes"`
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
	report.Bytes, err = out.archive(ctx, w, store.Now(o.Now), nil)
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
	plain  bool          // data that is compressed on disk is decompressed
	limit  *rate.Limiter // nil: none

	unsummed bool    // it goes through ssh, to a program that accepts this
	begun    *stream // it was begun already; nil: it was not
}

func (o outgoing) manifest(now time.Time) archive.Manifest {
	host, _ := os.Hostname() // for the user
	m := archive.Manifest{Format: archive.FormatVersion, Name: o.backup.Name, UUID: o.item.Origin, Host: host, Dest: o.store.Path, Created: now.UTC(), Unsummed: o.unsummed}
	m.Record = archive.RecordFor(o.backup, o.item.Origin, host, o.store.Path, now.UTC())
	if o.parent != nil {
		m.Parent, m.ParentUUID = o.parent.Name, o.parent.Origin
	}
	return m
}

// archive writes the archive and returns the number of bytes.
func (o outgoing) archive(ctx context.Context, w io.Writer, now time.Time, sent func(uint64)) (uint64, error) {
	s, err := o.stream(ctx, sent)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(w)
	a, err := archive.NewWriter(out, o.manifest(now))
	if err == nil {
		err = at.Aside(func() error { return s.relay(a, out, w) })
	}
	if err = s.end(err); err == nil {
		err = a.Finish()
	}
	// Also after an error: the other side has to see that an archive was begun.
	return a.Bytes(), cmp.Or(err, out.Flush())
}

// relay passes the stream on. Its beginning goes at once: the other side makes the subvolume of it.
func (s *stream) relay(a *archive.Writer, out *bufio.Writer, w io.Writer) error {
	began, _ := s.Peek(s.Buffered())
	_, err := a.Write(began)
	if err = cmp.Or(err, out.Flush()); err != nil {
		return err
	}
	_, _ = s.Discard(len(began))
	if to, ok := w.(archive.Splicer); ok && s.of.unsummed && s.of.limit == nil {
		from, err := s.sending.SyscallConn()
		if err == nil {
			err = a.Splice(from, to, s.meter.Passed)
		}
		if err != nil {
			return err
		}
	}
	return a.Relay(s, out)
}

// stream is a send stream that the kernel is writing.
type stream struct {
	*bufio.Reader
	meter        pace.Meter
	sending      *btrfs.Sending
	of           outgoing
	root, parent *os.File
	late         *time.Timer // it was begun ahead, and ends then; nil: it was not
}

// stream returns it once it has begun. sent is called with the progress.
func (o outgoing) stream(ctx context.Context, sent func(uint64)) (*stream, error) {
	s := o.begun
	if s == nil {
		var err error
		if s, err = o.start(ctx); err != nil {
			return nil, err
		}
		if err = s.firstByte(); err != nil && isTooOld(err) { // Linux before 6.0
			if err = s.start(ctx, btrfs.SendOptions{}); err == nil {
				err = s.firstByte()
			}
		}
		if err != nil {
			return nil, s.end(s.refused(err))
		}
	}
	s.of, s.meter.Sent = o, sent
	return s, nil
}

// start has the kernel begin it, in the newest version that both sides support, and does not wait.
func (o outgoing) start(ctx context.Context) (*stream, error) {
	s := &stream{of: o, meter: pace.Meter{Ctx: ctx, Limit: o.limit}}
	var err error
	if s.root, err = btrfs.OpenDirAt(o.store.Dir, o.backup.Name); err != nil {
		return nil, unsent(err)
	}
	if o.parent != nil {
		if s.parent, err = btrfs.OpenDirAt(o.store.Dir, o.parent.Name); err != nil {
			return nil, errors.Join(unsent(err), s.root.Close())
		}
	}
	if err := s.start(ctx, btrfs.SendOptions{Version: 2, Compressed: !o.plain}); err != nil {
		return nil, s.end(s.refused(err))
	}
	return s, nil
}

func (s *stream) start(ctx context.Context, options btrfs.SendOptions) error {
	if s.parent != nil {
		options.CloneSources = []*os.File{s.parent}
	}
	sending, err := btrfs.StartSend(ctx, s.root, s.parent, options)
	if err != nil {
		return err
	}
	s.meter.R = sending
	s.sending, s.Reader = sending, bufio.NewReaderSize(&s.meter, receive.ReadAhead)
	return nil
}

// firstByte waits for it: a version that the kernel does not support is refused before it.
func (s *stream) firstByte() error {
	_, err := s.Peek(1)
	if err != nil {
		_ = s.sending.Close() // it has the same text
		s.sending = nil
	}
	return err
}

// end ends it. An error of the kernel is the cause of err, unless it only says that the stream was not read to its end.
func (s *stream) end(err error) error {
	if s.sending != nil {
		if sendErr := s.sending.Close(); sendErr != nil && !isBrokenPipe(sendErr) {
			err = s.refused(sendErr)
		}
	}
	closeErr := s.root.Close()
	if s.parent != nil {
		closeErr = errors.Join(closeErr, s.parent.Close())
	}
	if gone := s.of.store.Gone(s.of.backup); err != nil && errors.Is(gone, facts.ErrBackupGone) {
		return unsent(gone)
	}
	return errors.Join(err, closeErr)
}

// refused marks an error of the kernel. Linux 6.18 fails with ENOENT to send some orders of renames.
func (s *stream) refused(err error) error {
	switch {
	case !errors.Is(err, unix.ENOENT):
		return unsent(err)
	case s.parent != nil:
		err = fail.Kind(errIncrement, err)
	}
	return fail.Kind(errUnsent, err)
}

func isTooOld(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTO) || errors.Is(err, unix.EINVAL)
}

// isBrokenPipe: the reader has stopped, and reports why.
func isBrokenPipe(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
