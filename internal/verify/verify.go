// Verify: reading backups back, so that the kernel checks every checksum.

package verify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Options are the options of Verify. The zero value reads everything.
type Options struct {
	// Backup is the one to read, as in Delete; "" means all of them. Of all,
	// data that several share is read once, in the oldest that has it: as
	// root, that is, since the kernel tells nobody else what is new.
	Backup string
	// NewOnly leaves out what a backup shares with the newest older one that
	// was verified and found clean. Without Backup it reads all that are newer
	// than the newest clean one. It needs root; without, everything is read.
	NewOnly bool
	// Jobs is how many reads go on at a time; 0 means 4. A single disk that
	// spins may like 1 better.
	Jobs   int
	Now    time.Time // zero is the present
	Logger *slog.Logger
	// Progress and Found are called from several goroutines, one at a time.
	Progress func(facts.VerifyProgress)
	Found    func(facts.Damage) // each damage as it is found
}

// Report says what Verify read and found.
type Report struct {
	Dest    string                 `json:"dest"`
	Backups []facts.VerifiedBackup `json:"backups"` // in the order they were read, oldest first
	Files   int64                  `json:"files"`   // read; a file with several names counts once
	Bytes   int64                  `json:"bytes"`   // read; holes do not count
	// Damaged is how many files and directories are damaged, counting each
	// once, in the oldest backup it was met in. Damages has the first 1,000.
	Damaged int            `json:"damaged"`
	Damages []facts.Damage `json:"damages"`
	// Unread is how many could not be read for other reasons. Unreads has what
	// became of the first 100.
	Unread  int      `json:"unread"`
	Unreads []string `json:"unreads,omitempty"`
	// NotVerified is how many files have data without checksums, as of nodatacow,
	// and NotVerifiedFiles the first 100 of them.
	NotVerified      int                 `json:"not_verified"`
	NotVerifiedFiles []facts.DamagedFile `json:"not_verified_files,omitempty"`
	// DeviceErrors is how many errors the devices counted meanwhile. If nothing
	// is damaged they were put right from a second copy.
	DeviceErrors uint64    `json:"device_errors"`
	Notices      []string  `json:"notices,omitempty"`
	Started      time.Time `json:"started"` // UTC
	Ended        time.Time `json:"ended"`   // UTC
}

const (
	maxDamages = 1000
	maxUnreads = 100
)

// Run reads backups from the disk, around the page cache, and reports every
// file that the disk no longer gives back as it was written: btrfs keeps a
// checksum of each block and answers a bad one with EIO. Directories and
// inodes are read too, but those that the kernel has in memory already are
// not read anew. Data written with nodatacow has no checksum: it is read, but
// not verified. Where the filesystem keeps two copies (RAID1, DUP) one good copy is
// enough.
//
// What was found is kept in the record of each backup, if DEST can be written
// to. Nothing else is changed, no lock is taken and a running backup is not
// disturbed. Reading needs the rights that the modes of the files ask for;
// naming the backups that share the damage is complete for root alone.
//
// Errors match ErrDamaged, ErrUnread (also both), ErrNoBackup, ErrAmbiguous,
// ErrBackupGone, or those of List. The report is valid with any error.
func Run(ctx context.Context, dest string, o Options) (*Report, error) {
	v := &verifying{o: o, report: &Report{Dest: dest, Started: store.Now(o.Now).UTC()}}
	err := v.open(ctx, dest)
	if err == nil {
		err = errors.Join(v.run(), v.store.Close())
	}
	v.report.Ended = store.Now(o.Now).UTC()
	return v.report, err
}

// verifying is one run of Verify.
type verifying struct {
	ctx      context.Context
	o        Options
	store    *store.Store
	state    *store.State
	unsummed bool           // mounted so that what is written has no checksums
	byID     map[uint64]int // index into state.backups
	errors   uint64         // of the devices, when it began

	mu       sync.Mutex // for what follows, and for the callbacks
	report   *Report
	progress facts.VerifyProgress
	damaged  map[string]bool // backups
	metadata map[string]bool // those of them whose metadata is
	unsure   map[string]bool // backups with data that has no checksums
	reported map[facts.DamagedFile]bool
}

func (v *verifying) open(ctx context.Context, dest string) error {
	if v.o.Jobs < 0 {
		return fail.Step("options", fail.Kindf(facts.ErrUsage, "jobs %d: want 1 or more", v.o.Jobs))
	}
	s, err := store.Open(dest)
	if err != nil {
		return err
	}
	st, err := s.ReadState(time.Local)
	if err != nil {
		return fail.Step("read", errors.Join(err, s.Close()))
	}
	v.ctx, v.store, v.state, v.report.Dest = ctx, s, st, s.Path
	v.unsummed, v.unsure = s.Unsummed(), map[string]bool{}
	v.byID, v.damaged, v.metadata, v.reported = map[uint64]int{}, map[string]bool{}, map[string]bool{}, map[facts.DamagedFile]bool{}
	for i, b := range st.Backups {
		v.byID[b.ID] = i
	}
	v.errors = countDeviceErrors(s.Dir)
	return nil
}

func (v *verifying) run() error {
	targets, base, err := v.targets()
	if err != nil {
		return fail.Step("find", err)
	}
	v.progress.Backups = len(targets)
	err = v.readAll(v.sortOut(targets), base)
	v.report.DeviceErrors = countDeviceErrors(v.store.Dir) - v.errors
	v.conclude()
	return errors.Join(fail.Step("verify", err), v.verdict())
}

// targets returns what to read, oldest first, and the backup that is known to
// be clean: what the first one shares with it is left out.
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

// sortOut notes what became of those that can not be opened, of all if no backup
// was named, and returns the other targets.
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
		v.report.Backups = append(v.report.Backups, done)
	}
	return rest
}

// readAll reads one backup after the other. Each is the base of the next one
// as long as all of it was read.
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

// readOne is whole when everything in b is known to have been read, in b or
// in the backups it shares it with.
func (v *verifying) readOne(i int, b, base *facts.Snapshot) (whole bool, err error) {
	r, err := v.newBackupReader(b, base)
	if errors.Is(err, facts.ErrBackupGone) && v.o.Backup == "" {
		v.notice(err.Error())
		return false, nil
	}
	if err != nil {
		return false, err
	}
	v.begin(i, b, r)
	err = errors.Join(r.read(), r.close())
	if v.ctx.Err() != nil {
		return false, context.Cause(v.ctx)
	}
	if gone := v.store.Gone(*b); gone != nil { // what could not be read says nothing then
		if errors.Is(gone, facts.ErrBackupGone) && v.o.Backup == "" {
			v.notice(gone.Error())
			return false, nil
		}
		return false, gone
	}
	if err != nil {
		return false, err // nothing is known of what was not looked at
	}
	v.end(b, r)
	return r.whole(), nil
}

func (v *verifying) begin(i int, b *facts.Snapshot, r *backupReader) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.progress.Backup, v.progress.Index, v.progress.Total = b.Name, i, 0
	if size := expectedSize(b); size > 0 && r.base == nil {
		v.progress.Total = v.progress.Bytes + size
	}
}

// expectedSize is what rsync said all files have together, or 0. Hard links
// and holes are in it, so less than that may be read.
func expectedSize(b *facts.Snapshot) int64 {
	if b.Record == nil || b.Record.Stats == nil {
		return 0
	}
	return b.Record.Stats.TotalSize
}

func (v *verifying) end(b *facts.Snapshot, r *backupReader) {
	v.mu.Lock()
	defer v.mu.Unlock()
	done := facts.VerifiedBackup{Name: b.Name, Result: facts.Clean, Files: r.files.Load(), Bytes: r.bytes.Load()}
	if r.base != nil {
		done.Since = r.base.Name
	}
	switch {
	case v.damaged[b.Name]:
		done.Result = facts.Damaged
	case r.unread.Load() > 0:
		done.Result = facts.Unread
	case v.unsure[b.Name], r.base != nil && v.unsure[r.base.Name]:
		done.Result, v.unsure[b.Name] = facts.NotVerified, true // it shares what was read with its base
	}
	v.report.Backups = append(v.report.Backups, done)
	v.report.Files += done.Files
	v.report.Bytes += done.Bytes
}

// conclude corrects the results, since a damage may turn up in a backup that
// was read before, and writes them down: also of backups that were not read,
// but hold a block that is damaged.
func (v *verifying) conclude() {
	results := map[string]facts.VerifyResult{}
	for i := range v.report.Backups {
		b := &v.report.Backups[i]
		if v.damaged[b.Name] {
			b.Result = facts.Damaged
		}
		results[b.Name] = b.Result
	}
	for name := range v.damaged {
		results[name] = facts.Damaged
	}
	// One that was stopped keeps what it found, if it need not wait for that.
	ctx, wait := v.ctx, v.store.Patience()
	if ctx.Err() != nil {
		ctx, wait = context.WithoutCancel(ctx), 0
	}
	sink, log, err := v.openLog()
	if err != nil {
		v.notice("what was found is not kept: " + err.Error())
		return
	}
	for _, b := range v.state.All() {
		result, known := results[b.Name]
		if !known || result == facts.Unread {
			continue
		}
		err := v.store.WriteVerified(ctx, wait, b, facts.Verification{At: store.Now(v.o.Now).UTC(), Result: result, Metadata: v.metadata[b.Name]})
		if err != nil && !errors.Is(err, facts.ErrNoBackup) {
			v.notice("what was found is not kept: " + err.Error())
			if b.RecordError == "" {
				break // it is not this record alone
			}
		}
	}
	if sink != nil {
		r := v.report
		log.Info("verified", "backups", len(r.Backups), "files", r.Files, "bytes", r.Bytes, "damaged", r.Damaged, "unread", r.Unread, "not_verified", r.NotVerified)
		store.CloseLog(sink, v.o.Logger)
	}
}

// openLog comes before any record is written: it refuses a DEST of somebody
// else, who could not read them any more. On a read-only mount there is no log.
func (v *verifying) openLog() (*store.ActivityLog, *slog.Logger, error) {
	sink, log, err := v.store.OpenLog(v.o.Logger)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		return nil, nil, nil
	}
	return sink, log, err
}

func (v *verifying) notice(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Notices = append(v.report.Notices, text)
}

func (v *verifying) verdict() error {
	var damaged, unread, unsure error
	if n := v.report.Damaged; n > 0 {
		damaged = fail.Kindf(facts.ErrDamaged, "%s damaged in %s", say.Plural(n, "file"), v.store.Path)
	}
	if n := v.report.Unread; n > 0 {
		unread = fail.Kindf(facts.ErrUnread, "%s could not be read, the first: %s", say.Plural(n, "file"), v.report.Unreads[0])
	}
	if n := v.report.NotVerified; n > 0 {
		first := v.report.NotVerifiedFiles[0]
		unsure = fail.Kindf(facts.ErrNotVerified, "%s not verified, as data without checksums can not be, the first: %q in %s", say.Plural(n, "file"), first.Path, first.Backup)
	}
	return errors.Join(damaged, unread, unsure)
}

// addUnread notes what could not be read for another reason than damage.
func (v *verifying) addUnread(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Unread++
	if len(v.report.Unreads) < maxUnreads {
		v.report.Unreads = append(v.report.Unreads, err.Error())
	}
}

// addNotVerified counts a file whose data has no checksums.
func (v *verifying) addNotVerified(backup, path string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unsure[backup] = true
	v.report.NotVerified++
	if len(v.report.NotVerifiedFiles) < maxUnreads {
		v.report.NotVerifiedFiles = append(v.report.NotVerifiedFiles, facts.DamagedFile{Backup: backup, Path: path})
	}
}

func (v *verifying) addDamage(d facts.Damage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	file := facts.DamagedFile{Backup: d.Backup, Path: d.Path}
	if v.reported[file] { // a backup that is read once more
		return
	}
	v.reported[file] = true
	v.report.Damaged++
	if len(v.report.Damages) < maxDamages {
		v.report.Damages = append(v.report.Damages, d)
	}
	v.damaged[d.Backup] = true
	if d.Kind == facts.MetadataDamage {
		v.metadata[d.Backup] = true
	}
	for _, p := range d.Shared {
		v.damaged[p.Backup] = true
	}
	if v.o.Found != nil {
		v.o.Found(d)
	}
}

func (v *verifying) advance(files, bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.progress.Files += files
	v.progress.Bytes += bytes
	if v.o.Progress != nil {
		v.o.Progress(v.progress)
	}
}
