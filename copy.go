// Copy, Send, Receive: a second copy of backups.

package rsbtbackup

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/replica"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// ErrArchive: what comes in is neither an archive of Send nor a btrfs send stream, or it is damaged, or cut off.
var ErrArchive = facts.ErrArchive

// CopyInfo says where a backup was copied from, and when.
//
// Its fields: go doc rsbtbackup/facts.CopyInfo
type CopyInfo = facts.CopyInfo

// CopyOptions are the options of Copy. The zero value is usable.
type CopyOptions struct {
	// SSH is the command that connects to another host, with its arguments; nil is ssh.
	SSH []string
	// Program is what rsbtbackup is called over there; "" is rsbtbackup.
	Program string
	// Decompress sends decompressed what DEST has compressed: for a target whose filesystem has blocks of another size.
	// On this host it is done where needed.
	Decompress bool
	// Bwlimit is how much may be sent in a second, as rsync's --bwlimit: "500k", "10m".
	Bwlimit string
	// Keep is what target keeps: when it has all, Copy deletes there what no rule keeps, as Prune does, and what would
	// be deleted at once is not sent. On another host "rsbtbackup receive --stdio" does so, if that is what it was
	// started with: a command that the key is bound to has rules of its own, and with others Copy is refused.
	Keep retention.Policy

	// Force copies into a target that holds backups of another source, which is ErrGuard otherwise.
	Force bool

	DryRun   bool
	LockWait time.Duration // how long to wait for another run on the target; 0 fails at once
	Now      time.Time     // zero is the present
	Logger   *slog.Logger
	// Progress is called, from another goroutine, as bytes are sent.
	Progress func(CopyProgress)
}

// CopyProgress is how far Copy is.
type CopyProgress struct {
	Backup  string
	Index   int    // of Backup, from 0, among those that are copied
	Backups int    // to be copied
	Bytes   uint64 // sent of Backup
}

// CopyResult is what became of one backup.
type CopyResult string

// The results of CopiedBackup.
const (
	Copied      CopyResult = "copied"
	CopyHad     CopyResult = "had"     // it was there already
	CopyWould   CopyResult = "would"   // in a dry run: it would be copied
	CopyUnkept  CopyResult = "unkept"  // the rules of target would delete it at once
	CopyRefused CopyResult = "refused" // Error says why; nothing was tried
	CopyFailed  CopyResult = "failed"  // Error says why; the copy ended there
)

// CopiedBackup is what Copy did with one backup.
type CopiedBackup struct {
	Name   string     `json:"name"`
	Result CopyResult `json:"result"`
	As     string     `json:"as,omitempty"`     // its name over there, if that is another
	Parent string     `json:"parent,omitempty"` // it was sent as an increment of
	Bytes  uint64     `json:"bytes,omitempty"`  // sent
	Error  string     `json:"error,omitempty"`
}

// CopyReport says what Copy did.
type CopyReport struct {
	Dest    string         `json:"dest"`
	Target  string         `json:"target"`
	DryRun  bool           `json:"dry_run"`
	Backups []CopiedBackup `json:"backups"`           // oldest first
	Bytes   uint64         `json:"bytes"`             // sent
	Deleted []string       `json:"deleted,omitempty"` // in target, by its rules
	Notices []string       `json:"notices,omitempty"`
	Repairs []string       `json:"repairs,omitempty"` // of a target on this host
	Started time.Time      `json:"started"`           // UTC
	Ended   time.Time      `json:"ended"`             // UTC
}

// Copy copies the backups that refs name, as in Delete, or all without any, as far as target does not have them: oldest
// first, each as an increment of the nearest one that both have. target is a directory that Init has prepared, on
// another btrfs, or HOST:PATH, where "rsbtbackup receive --stdio" is run over ssh. A copy has the name, the record and
// the pin of its backup, and cur names the newest complete one over there, so that everything can be done with it that
// can be done with the first; what Verify found is kept as Record.Copied, since it says nothing of another disk.
// Nothing is deleted over there, but by o.Keep.
//
// A backup appears whole or not at all. One that was cut off is sent anew by the next run. dest is not locked; a backup
// cannot be deleted while it is sent.
//
// Root only. Errors match ErrNoBackup, ErrAmbiguous, ErrTarget (the host cannot be reached), ErrLocked, ErrNoSpace,
// ErrArchive, ErrUnusual (see PruneOptions.Force), ErrGuard (target holds backups of another source), or what opening
// dest or target gives. The report is valid with any error.
func Copy(ctx context.Context, dest, target string, refs []string, o CopyOptions) (*CopyReport, error) {
	r, err := replica.Copy(ctx, dest, target, refs, replica.Options{
		SSH: o.SSH, Program: o.Program, Decompress: o.Decompress, Bwlimit: o.Bwlimit, Keep: o.Keep, Force: o.Force, DryRun: o.DryRun, LockWait: o.LockWait, Now: o.Now, Logger: o.Logger,
		Progress: copyProgress(o.Progress),
	})
	report := &CopyReport{
		Dest: r.Dest, Target: r.Target, DryRun: r.DryRun, Backups: []CopiedBackup{}, Bytes: r.Bytes, Deleted: r.Deleted, Notices: r.Notices, Repairs: r.Repairs,
		Started: r.Started, Ended: r.Ended,
	}
	for _, b := range r.Backups {
		report.Backups = append(report.Backups, CopiedBackup{b.Name, CopyResult(b.Result), b.As, b.Parent, b.Bytes, b.Error})
	}
	return report, err
}

func copyProgress(f func(CopyProgress)) func(replica.Progress) {
	if f == nil {
		return nil
	}
	return func(p replica.Progress) { f(CopyProgress(p)) }
}

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
	UUID   btrfs.UUID `json:"uuid"`  // all copies of the backup have the same
	Bytes  uint64     `json:"bytes"` // written
}

// Send writes a backup to w as an archive, which Receive makes a backup of again: a line of JSON that says what it is,
// a btrfs send stream, and a line of JSON with the SHA-256 of all before it.
//
// Root only. Errors match ErrNoBackup, ErrAmbiguous, ErrUsage (it can be written to, or an increment cannot build on
// Parent), ErrBackupGone, what w returned, or what opening dest gives. The report is valid with any error.
func Send(ctx context.Context, dest, backup string, o SendOptions, w io.Writer) (*SendReport, error) {
	r, err := replica.Send(ctx, dest, backup, replica.SendOptions(o), w)
	return (*SendReport)(r), err
}

// ReceiveOptions are the options of Receive. The zero value is usable.
type ReceiveOptions struct {
	// Name of the backup; "" is the one in the archive.
	Name string
	// Keep is what to keep: in the end the others are deleted, as by Prune. Empty: all.
	Keep     retention.Policy
	LockWait time.Duration // how long to wait for another run to finish; 0 fails at once
	Now      time.Time     // zero is the present
	Logger   *slog.Logger
}

// ReceiveReport says what Receive made.
type ReceiveReport struct {
	Dest    string     `json:"dest"`
	Backup  string     `json:"backup"`
	UUID    btrfs.UUID `json:"uuid"`              // of the backup it is a copy of
	Parent  string     `json:"parent,omitempty"`  // what it was made from, in Dest
	Checked bool       `json:"checked"`           // its SHA-256 was compared; a bare stream has none
	Deleted []string   `json:"deleted,omitempty"` // by Keep
	Notices []string   `json:"notices,omitempty"`
	Repairs []string   `json:"repairs,omitempty"`
}

// Receive makes a backup in dest of an archive that Send has written, or of a stream of "btrfs send" whose subvolume is
// called like a backup. It appears whole, with every checksum right and on the disk, or not at all. What an increment
// builds on must be in dest, unchanged.
//
// Root only. Errors match ErrArchive, ErrNoBackup (what it builds on), ErrUsage (there is one of that name, or that can
// be none), ErrLocked, ErrNoSpace, what r returned, or what opening dest gives. The report is valid with any error.
func Receive(ctx context.Context, dest string, r io.Reader, o ReceiveOptions) (*ReceiveReport, error) {
	got, err := replica.Receive(ctx, dest, r, replica.ReceiveOptions(o))
	return (*ReceiveReport)(got), err
}

// ServeSend is the sending side of a Copy from HOST:PATH. It says on w which backups dest has and sends those that are
// asked for on r, as Send does. Nothing else can be had of it, and it changes nothing.
//
// Root only. Errors are those of Send; they have been told on w.
func ServeSend(ctx context.Context, dest string, r io.Reader, w io.Writer) error {
	return replica.ServeSend(ctx, dest, r, w)
}

// ServeCopy is the receiving side of a Copy to HOST:PATH. It says on w which backups dest has and makes backups of the
// archives that come in on r. Nothing else can be had of it: it deletes, renames and reads nothing for whoever is at
// the other end. o.Name is ignored.
//
// Root only. Errors are those of Receive; they have been told on w.
func ServeCopy(ctx context.Context, dest string, r io.Reader, w io.Writer, o ReceiveOptions) error {
	return replica.Serve(ctx, dest, r, w, replica.ReceiveOptions(o))
}
