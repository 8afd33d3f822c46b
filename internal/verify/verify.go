// Verify: reading backups back from the disk.

package verify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Options are those of rsbtbackup.VerifyOptions, where each has its comment.
type Options struct {
	Backup   string
	NewOnly  bool
	Jobs     int
	Now      time.Time
	Logger   *slog.Logger
	Progress func(facts.VerifyProgress)
	Found    func(facts.Damage)
}

// Report is that of rsbtbackup.VerifyReport.
type Report struct {
	Dest             string
	Backups          []facts.VerifiedBackup
	Files            int64
	Bytes            int64
	Damaged          int
	Damages          []facts.Damage
	Unread           int
	Unreads          []string
	NotVerified      int
	NotVerifiedFiles []facts.DamagedFile
	DeviceErrors     uint64
	Notices          []string
	Started          time.Time
	Ended            time.Time
}

// Run reads backups from the disk; see rsbtbackup.Verify. The report is never nil.
func Run(ctx context.Context, dest string, o Options) (*Report, error) {
	started := store.Now(o.Now).UTC()
	report, err := run(ctx, dest, o)
	report.Started, report.Ended = started, store.Now(o.Now).UTC()
	return &report, err
}

func run(ctx context.Context, dest string, o Options) (report Report, err error) {
	v, err := open(ctx, dest, o)
	if err != nil {
		return Report{Dest: dest}, err
	}
	defer func() { err = errors.Join(err, v.store.Close()) }()
	targets, base, err := v.targets()
	if err != nil {
		return Report{Dest: v.store.Path}, fail.Step("find", err)
	}
	before := countDeviceErrors(v.store.Dir)
	v.expect(len(targets))
	err = v.readAll(v.sortOut(targets), base)
	report = v.report(v.store.Path)
	report.DeviceErrors = countDeviceErrors(v.store.Dir) - before
	v.keep(report)
	report.Notices = v.notices
	return report, errors.Join(fail.Step("verify", err), verdict(report))
}

// verifying is the state of DEST when verify began, and what was found since.
type verifying struct {
	ctx      context.Context
	o        Options
	store    *store.Store
	state    *store.State
	unsummed bool           // mounted so that new data has no checksums
	byID     map[uint64]int // index into state.Backups
	*findings
}

func open(ctx context.Context, dest string, o Options) (*verifying, error) {
	if o.Jobs < 0 {
		return nil, fail.Step("options", fail.Kindf(facts.ErrUsage, "jobs %d: want 1 or more", o.Jobs))
	}
	s, err := store.Open(dest)
	if err != nil {
		return nil, err
	}
	st, err := s.ReadState(time.Local)
	if err != nil {
		return nil, fail.Step("read", errors.Join(err, s.Close()))
	}
	byID := map[uint64]int{}
	for i, b := range st.Backups {
		byID[b.ID] = i
	}
	return &verifying{ctx, o, s, st, s.Unsummed(), byID, newFindings(o)}, nil
}

// targets returns the backups to read, oldest first, and a backup known to be clean: data that the first one shares
// with it is skipped.
func (v *verifying) targets() (targets []facts.Snapshot, base *facts.Snapshot, err error) {
	all := v.state.All()
	end := len(all)
	if v.o.Backup != "" {
		b, err := store.Find(all, v.o.Backup)
		if err != nil {
			return nil, nil, store.ExplainForeign(v.state, v.o.Backup, err)
		}
		end = 1 + slices.IndexFunc(all, func(other facts.Snapshot) bool { return other.Name == b.Name })
	}
	start := 0
	if v.o.NewOnly {
		if i := store.LastClean(all[:end]); i >= 0 {
			base, start = &all[i], i+1
		}
	}
	if v.o.Backup != "" {
		start = max(start, end-1)
	}
	return all[start:end], base, nil
}

// sortOut reports the backups that cannot be opened, if no backup was named, and returns the other targets.
func (v *verifying) sortOut(targets []facts.Snapshot) []facts.Snapshot {
	rest := slices.DeleteFunc(slices.Clone(targets), func(b facts.Snapshot) bool { return b.Unreadable != "" })
	if v.o.Backup == "" {
		targets = v.state.Broken
	}
	for _, b := range targets {
		done := facts.VerifiedBackup{Name: b.Name, Result: facts.Damaged}
		switch {
		case b.Unreadable == "":
			continue
		case btrfs.IsDamage(b.WhyNot):
			v.addDamage(facts.Damage{Backup: b.Name, Kind: facts.MetadataDamage, Error: b.Unreadable})
		default:
			done.Result = facts.Unread
			v.addUnread(b.WhyNot)
		}
		v.add(done)
	}
	return rest
}

// readAll reads one backup after the other. Each is the base of the next one if all of it was read.
func (v *verifying) readAll(targets []facts.Snapshot, base *facts.Snapshot) error {
	for i := range targets {
		if v.ctx.Err() != nil {
			return context.Cause(v.ctx)
		}
		whole, err := v.readOne(i, &targets[i], base)
		if err != nil {
			return err
		}
		base = nil
		if whole {
			base = &targets[i]
		}
	}
	return nil
}

// readOne is whole if everything in b is known to have been read, in b or in the backups that share it.
func (v *verifying) readOne(i int, b, base *facts.Snapshot) (whole bool, err error) {
	r, err := v.newBackupReader(b, base)
	if errors.Is(err, facts.ErrBackupGone) && v.o.Backup == "" {
		v.notice(err.Error())
		return false, nil
	}
	if err != nil {
		return false, err
	}
	v.begin(i, *b, r.base == nil)
	err = errors.Join(r.read(), r.close())
	if v.ctx.Err() != nil {
		return false, context.Cause(v.ctx)
	}
	if gone := v.store.Gone(*b); gone != nil { // read errors say nothing about damage then
		if errors.Is(gone, facts.ErrBackupGone) && v.o.Backup == "" {
			v.notice(gone.Error())
			return false, nil
		}
		return false, gone
	}
	if err != nil {
		return false, err // what was not read is unknown
	}
	v.end(*b, r)
	return r.whole(), nil
}
