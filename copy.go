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

// ErrArchive: the input is neither an archive of Send nor a btrfs send stream, or it is damaged or cut off.
var ErrArchive = facts.ErrArchive

// CopyInfo says from where and when a backup was copied.
//
// Its fields: go doc rsbtbackup/facts.CopyInfo
type CopyInfo = facts.CopyInfo

// CopyOptions are the options of Copy. The zero value is usable.
type CopyOptions struct {
	// SSH is the command that connects to another host, with its arguments; nil is ssh.
	SSH []string
	// Program is the name or path of rsbtbackup on the other host; "" means rsbtbackup.
	Program string
	// Decompress sends compressed data of DEST decompressed, for a target whose filesystem has another block size. For
	// a target on this host this is done automatically where it is needed.
	Decompress bool
	// Bwlimit limits the bytes sent per second, in the form of rsync's --bwlimit: "500k", "10m".
	Bwlimit string
	// Keep is the retention policy of target. After copying, Copy deletes in target what no rule keeps, as Prune does;
	// what would be deleted at once is not sent. On another host "rsbtbackup receive --stdio" does the deleting, with
	// the rules it was started with. If the key there is bound to a command with other rules, Copy is refused.
	Keep retention.Policy

	// Force also copies into a target that holds backups of another source; without it that is ErrGuard.
	Force bool

	DryRun   bool          // report what would be copied and change nothing
	LockWait time.Duration // how long to wait for another run on the target; 0 fails at once
	Now      time.Time     // zero means now
	Logger   *slog.Logger  // nil logs nothing
	// Progress is called, from another goroutine, as bytes are sent.
	Progress func(CopyProgress)
}

// CopyProgress says how far Copy is.
type CopyProgress struct {
	Backup  string
	Index   int    // of Backup, from 0, among those to be copied
	Backups int    // to be copied
	Bytes   uint64 // sent of Backup
}

// CopyResult says what Copy did with one backup.
type CopyResult string

// The results of CopiedBackup.
const (
	Copied      CopyResult = "copied"
	CopyHad     CopyResult = "had"     // target had it already
	CopyWould   CopyResult = "would"   // in a dry run: would be copied
	CopyUnkept  CopyResult = "unkept"  // not copied: the rules of target would delete it at once
	CopyRefused CopyResult = "refused" // Error says why; nothing was tried
	CopyFailed  CopyResult = "failed"  // Error says why; the copy ended there
)

// CopiedBackup is what Copy did with one backup.
type CopiedBackup struct {
	Name   string     `json:"name"`
	Result CopyResult `json:"result"`
	As     string     `json:"as,omitempty"`     // its name in target, if it differs
	News   []string   `json:"news,omitempty"`   // passed on to an existing copy, or would be: "pin", "verdict"
	Parent string     `json:"parent,omitempty"` // the backup it was sent as an increment of
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

// Copy copies the backups that refs name (as in Delete; none means all) and that target lacks: oldest first, each as an
// increment of the nearest backup that both sides have. target is a directory that Init has prepared on another btrfs,
// or HOST:PATH, where "rsbtbackup receive --stdio" is run over ssh. A copy has the name, the record and the pin of its
// backup, and cur in target names the newest complete copy, so every verb works on target too. What Verify found is
// moved to Record.Copied, because it says nothing about another disk. Nothing is deleted in target, except by o.Keep.
// A pin or a result of Verify that is newer than the copy is passed on by the next Copy. An unpin is not, so
// that no copy loses its protection, and a pin that was removed in target does not come back.
//
// A backup appears in target whole or not at all. An interrupted one is sent again from its start by the next run. dest
// is not locked; a backup cannot be deleted while it is sent.
//
// Root only. Errors match ErrNoBackup, ErrAmbiguous, ErrTarget (the host cannot be reached), ErrLocked, ErrNoSpace,
// ErrArchive, ErrUnusual (see PruneOptions.Force), ErrGuard (target holds backups of another source), or those of
// opening dest or target. The report is valid with any error.
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
		report.Backups = append(report.Backups, CopiedBackup{b.Name, CopyResult(b.Result), b.As, b.News, b.Parent, b.Bytes, b.Error})
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
	// Parent is a backup in the same DEST that the receiver has too: only the difference from it is sent.
	Parent string
	Now    time.Time // zero means now
}

// SendReport says what Send wrote.
type SendReport struct {
	Dest   string     `json:"dest"`
	Backup string     `json:"backup"`
	Parent string     `json:"parent,omitempty"`
	UUID   btrfs.UUID `json:"uuid"`  // all copies of the backup have the same
	Bytes  uint64     `json:"bytes"` // written
}

// Send writes a backup to w as an archive that Receive can read: one line of JSON that describes it, a btrfs send
// stream, and one line of JSON with the SHA-256 of everything before.
//
// Root only. Errors match ErrNoBackup, ErrAmbiguous, ErrUsage (the backup is writable, or Parent cannot be the base of
// an increment), ErrBackupGone, the errors of w, or those of opening dest. The report is valid with any error.
func Send(ctx context.Context, dest, backup string, o SendOptions, w io.Writer) (*SendReport, error) {
	r, err := replica.Send(ctx, dest, backup, replica.SendOptions(o), w)
	return (*SendReport)(r), err
}

// ReceiveOptions are the options of Receive. The zero value is usable.
type ReceiveOptions struct {
	// Name of the backup; "" is the one in the archive.
	Name string
	// Keep is the retention policy: after the backup was received, others are deleted as by Prune. Empty keeps all.
	Keep     retention.Policy
	LockWait time.Duration // how long to wait for another run to finish; 0 fails at once
	Now      time.Time     // zero means now
	Logger   *slog.Logger  // nil logs nothing
}

// ReceiveReport says what Receive made.
type ReceiveReport struct {
	Dest    string     `json:"dest"`
	Backup  string     `json:"backup"`
	UUID    btrfs.UUID `json:"uuid"`              // of the backup it is a copy of
	Parent  string     `json:"parent,omitempty"`  // the backup in Dest it builds on
	Checked bool       `json:"checked"`           // its SHA-256 was compared; a bare stream has none
	Deleted []string   `json:"deleted,omitempty"` // by Keep
	Notices []string   `json:"notices,omitempty"`
	Repairs []string   `json:"repairs,omitempty"`
}

// Receive makes a backup in dest from an archive that Send has written, or from a stream of "btrfs send" whose
// subvolume has a backup's name. The backup appears whole, with every checksum compared and all data on the disk, or
// not at all. The backup that an increment builds on must be in dest, unchanged.
//
// Root only. Errors match ErrArchive, ErrNoBackup (the one it builds on is missing), ErrUsage (the name is taken, or is
// not a name for a backup), ErrLocked, ErrNoSpace, the errors of r, or those of opening dest. The report is valid with
// any error.
func Receive(ctx context.Context, dest string, r io.Reader, o ReceiveOptions) (*ReceiveReport, error) {
	got, err := replica.Receive(ctx, dest, r, replica.ReceiveOptions(o))
	return (*ReceiveReport)(got), err
}

// ServeSend is the sending side of a Copy from HOST:PATH. It lists on w the backups in dest, sends those that r
// asks for, as Send does, and compares them with what r describes (VerifyAgainstCopy). It does nothing else and changes
// nothing.
//
// Root only. Errors are those of Send; they have also been reported on w.
func ServeSend(ctx context.Context, dest string, r io.Reader, w io.Writer) error {
	return replica.ServeSend(ctx, dest, r, w)
}

// ServeCopy is the receiving side of a Copy to HOST:PATH. It lists on w the backups in dest, makes backups from the
// archives that come in on r, pins copies of what is pinned at the other end, and says how a copy differs from what r
// describes (VerifyAgainstCopy). It does nothing else: the other end cannot make it delete, rename or hand out
// anything. o.Name is ignored.
//
// Root only. Errors are those of Receive; they have also been reported on w.
func ServeCopy(ctx context.Context, dest string, r io.Reader, w io.Writer, o ReceiveOptions) error {
	return replica.Serve(ctx, dest, r, w, replica.ReceiveOptions(o))
}
