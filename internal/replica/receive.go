package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

// ReceiveOptions are those of rsbtbackup.ReceiveOptions, where each has its comment.
type ReceiveOptions struct {
	Name     string
	Keep     retention.Policy
	LockWait time.Duration
	Now      time.Time
	Logger   *slog.Logger
}

// ReceiveReport is rsbtbackup.ReceiveReport.
type ReceiveReport struct {
	Dest    string     `json:"dest"`
	Backup  string     `json:"backup"`
	UUID    btrfs.UUID `json:"uuid"`
	Parent  string     `json:"parent,omitempty"`
	Checked bool       `json:"checked"`
	Deleted []string   `json:"deleted,omitempty"`
	Notices []string   `json:"notices,omitempty"`
	Repairs []string   `json:"repairs,omitempty"`
}

// Receive makes a backup from an archive, or from a stream of btrfs send.
func Receive(ctx context.Context, dest string, r io.Reader, o ReceiveOptions) (*ReceiveReport, error) {
	report := &ReceiveReport{Dest: dest}
	if err := checkKeep(o.Keep); err != nil {
		return report, err
	}
	err := store.Change(ctx, dest, "receive", o.LockWait, o.Now, o.Logger, func(c *store.Locked) error {
		report.Dest, report.Repairs = c.Store.Path, c.Repairs
		from, err := archive.Open(bufio.NewReaderSize(r, receive.ReadAhead))
		if err != nil {
			return fail.Step("receive", err)
		}
		if from.Alone = true; from.Manifest != nil && from.Manifest.Unsummed {
			return fail.Step("receive", fmt.Errorf("%w: it has no SHA-256, as only a copy over ssh may", facts.ErrArchive))
		}
		got, err := receiveOne(ctx, c, from, o.Name)
		if got != nil {
			report.Backup, report.UUID, report.Parent, report.Notices = got.Name, got.UUID, got.Parent, got.Notices
			report.Checked = from.Manifest != nil
		}
		if err = errors.Join(err, c.Store.PointCur(c.Now)); err != nil || o.Keep.IsEmpty() {
			return fail.Step("receive", err)
		}
		report.Deleted, err = pruneTo(ctx, c, o.Keep)
		return err
	})
	return report, err
}

// receiveOne publishes the backup in an archive, in a locked DEST. It returns nil with an error if nothing was
// published.
func receiveOne(ctx context.Context, c *store.Locked, from *archive.Reader, name string) (*receive.Result, error) {
	m := from.Manifest
	if name == "" && m != nil {
		name = m.Name
	}
	work, err := c.Store.OpenIncoming()
	if err != nil {
		return nil, err
	}
	defer work.Close()
	recorded := ""
	whole := func(got *receive.Result) error {
		record, err := recordOf(m, got, name, c.Now.UTC())
		if err == nil {
			err = from.Finish()
		}
		if err == nil {
			err = c.Store.WriteIncoming(ctx, record)
		}
		if err == nil {
			recorded = record.Name
		}
		return err
	}
	got, err := receive.Receive(ctx, from, receive.Options{Dest: c.Store.Dir, Work: work, Name: name, Accept: accept, Whole: whole})
	if err == nil {
		c.Log.Info("received", "backup", got.Name, "from", got.UUID.String(), "parent", got.Parent)
		if parent, findErr := store.Find(c.State.All(), got.Parent); got.Parent != "" && findErr == nil && parent.Damaged() {
			got.Notices = append(got.Notices, "it builds on "+parent.Name+", in which verify has found damage: it has that damage, too")
		}
		return got, nil
	}
	if recorded == "" {
		return nil, explain(name, err)
	}
	if _, statErr := at.Stat(c.Store.Dir, recorded); statErr == nil {
		return got, err // it is published; the error came afterwards
	}
	// Also when ctx is cancelled: no record without a backup.
	return nil, errors.Join(explain(name, err), c.Store.ForgetIncoming(context.WithoutCancel(ctx), recorded))
}

func explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return fail.Kindf(facts.ErrUsage, "something has the name %s already: %w", name, err)
	case errors.Is(err, sendstream.ErrFormat), errors.Is(err, receive.ErrStream):
		return fail.Kind(facts.ErrArchive, err)
	case errors.Is(err, receive.ErrNoSource):
		return fail.Kindf(facts.ErrNoBackup, "the backup it is incremental on is not in this DEST, or was changed: %w", err)
	}
	return err
}

// recordOf is the record of the received backup. The manifest must agree with the stream.
func recordOf(m *archive.Manifest, got *receive.Result, name string, now time.Time) (facts.Record, error) {
	if m == nil {
		m = &archive.Manifest{Name: got.Name, UUID: got.UUID}
	}
	if got.UUID != m.UUID {
		return facts.Record{}, fmt.Errorf("%w: the stream is of subvolume %s, its first line says %s", facts.ErrArchive, got.UUID, m.UUID)
	}
	record, err := archive.CheckRecord(m, now)
	if name != "" {
		record.Name = name
	}
	return record, err
}

// accept refuses names that are not those of backups.
func accept(name string) error {
	if _, ok := store.CanBeBackup(name); !ok {
		return fail.Kindf(facts.ErrUsage, "%q cannot be the name of a backup, such as 2026-11-23-09:00", name)
	}
	return nil
}
