// Verify: reading backups back, so that the kernel checks every checksum.

package rsbtbackup

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

var (
	// ErrDamaged: Verify found what the disk no longer gives back.
	ErrDamaged = errors.New("damaged")
	// ErrUnread: Verify could not read something for another reason, such as
	// a missing right, and so does not know whether it is damaged.
	ErrUnread = errors.New("could not be read")
)

// VerifyOptions are the options of Verify. The zero value reads everything.
type VerifyOptions struct {
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
	Progress func(VerifyProgress)
	Found    func(Damage) // each damage as it is found
}

// VerifyProgress is how far Verify is.
type VerifyProgress struct {
	Backup  string
	Index   int   // of Backup, from 0
	Backups int   // to be read
	Files   int64 // read so far, in all backups
	Bytes   int64
	// Total is the sum of Bytes to expect when Backup is done; 0 if nobody
	// knows.
	Total int64
}

// VerifyResult is what reading a backup led to.
type VerifyResult string

const (
	// Clean: everything could be read, and matched its checksum.
	Clean VerifyResult = "clean"
	// Damaged: something can not be read any more.
	Damaged VerifyResult = "damaged"
	// Unread: some of it could not be read for other reasons.
	Unread VerifyResult = "unread"
)

// Verification is the part of a record that says when Verify last read the
// backup, and what it found: Clean or Damaged.
type Verification struct {
	At     time.Time    `json:"at"` // UTC
	Result VerifyResult `json:"result"`
	// Metadata tells that metadata is damaged, perhaps with data: no backup must
	// be based on this one.
	Metadata bool `json:"metadata,omitempty"`
}

// VerifyReport says what Verify read and found.
type VerifyReport struct {
	Dest    string           `json:"dest"`
	Backups []VerifiedBackup `json:"backups"` // in the order they were read, oldest first
	Files   int64            `json:"files"`   // read; a file with several names counts once
	Bytes   int64            `json:"bytes"`   // read; holes do not count
	// Damaged is how many files and directories are damaged, counting each
	// once, in the oldest backup it was met in. Damages has the first 1,000.
	Damaged int      `json:"damaged"`
	Damages []Damage `json:"damages"`
	// Unread is how many could not be read for other reasons. Unreads has what
	// became of the first 100.
	Unread  int      `json:"unread"`
	Unreads []string `json:"unreads,omitempty"`
	// DeviceErrors is how many errors the devices counted meanwhile. If nothing
	// is damaged they were put right from a second copy.
	DeviceErrors uint64    `json:"device_errors"`
	Notices      []string  `json:"notices,omitempty"`
	Started      time.Time `json:"started"` // UTC
	Ended        time.Time `json:"ended"`   // UTC
}

// VerifiedBackup is one backup that was read.
type VerifiedBackup struct {
	Name string `json:"name"`
	// Since is the backup with which it shares what was not read; empty if
	// all of it was read.
	Since  string       `json:"since,omitempty"`
	Result VerifyResult `json:"result"`
	Files  int64        `json:"files"`
	Bytes  int64        `json:"bytes"`
}

const (
	maxDamages = 1000
	maxUnreads = 100
)

// Verify reads backups from the disk, around the page cache, and reports every
// file that the disk no longer gives back as it was written: btrfs keeps a
// checksum of each block and answers a bad one with EIO. Directories and
// inodes are read too, but those that the kernel has in memory already are
// not read anew. Data written with nodatacow has no checksum, and where the
// filesystem keeps two copies (RAID1, DUP) one good copy is enough.
//
// What was found is kept in the record of each backup, if DEST can be written
// to. Nothing else is changed, no lock is taken and a running backup is not
// disturbed. Reading needs the rights that the modes of the files ask for;
// naming the backups that share the damage is complete for root alone.
//
// Errors match ErrDamaged, ErrUnread (also both), ErrNoBackup, ErrAmbiguous,
// ErrBackupGone, or those of List. The report is valid with any error.
func Verify(ctx context.Context, dest string, o VerifyOptions) (*VerifyReport, error) {
	v := &verifying{o: o, report: &VerifyReport{Dest: dest, Started: now(o.Now)}}
	err := v.open(ctx, dest)
	if err == nil {
		err = errors.Join(v.run(), v.store.close())
	}
	v.report.Ended = now(o.Now)
	return v.report, err
}

func now(t time.Time) time.Time {
	if t.IsZero() {
		t = time.Now()
	}
	return t.UTC()
}

// verifying is one run of Verify.
type verifying struct {
	ctx    context.Context
	o      VerifyOptions
	store  *store
	state  *state
	byID   map[uint64]int // index into state.backups
	errors uint64         // of the devices, when it began

	mu       sync.Mutex // for what follows, and for the callbacks
	report   *VerifyReport
	progress VerifyProgress
	damaged  map[string]bool // backups
	metadata map[string]bool // those of them whose metadata is
	reported map[DamagedFile]bool
}

func (v *verifying) open(ctx context.Context, dest string) error {
	if v.o.Jobs < 0 {
		return step("options", failf(ErrUsage, "jobs %d: want 1 or more", v.o.Jobs))
	}
	s, err := openStore(dest)
	if err != nil {
		return err
	}
	st, err := s.readState(time.Local)
	if err != nil {
		return step("read", errors.Join(err, s.close()))
	}
	v.ctx, v.store, v.state, v.report.Dest = ctx, s, st, s.path
	v.byID, v.damaged, v.metadata, v.reported = map[uint64]int{}, map[string]bool{}, map[string]bool{}, map[DamagedFile]bool{}
	for i, b := range st.backups {
		v.byID[b.ID] = i
	}
	v.errors = countDeviceErrors(s.dir)
	return nil
}

func (v *verifying) run() error {
	targets, base, err := v.targets()
	if err != nil {
		return step("find", err)
	}
	v.progress.Backups = len(targets)
	err = v.readAll(v.sortOut(targets), base)
	v.report.DeviceErrors = countDeviceErrors(v.store.dir) - v.errors
	v.conclude()
	return errors.Join(step("verify", err), v.verdict())
}

// targets returns what to read, oldest first, and the backup that is known to
// be clean: what the first one shares with it is left out.
func (v *verifying) targets() (targets []Snapshot, base *Snapshot, err error) {
	all := v.state.all()
	end := len(all)
	if v.o.Backup != "" {
		b, err := find(all, v.o.Backup)
		if err != nil {
			return nil, nil, explainForeign(v.state, v.o.Backup, err)
		}
		end = 1 + slices.IndexFunc(all, func(other Snapshot) bool { return other.Name == b.Name })
	}
	start := 0
	if v.o.NewOnly {
		if i := lastClean(all[:end]); i >= 0 {
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
func (v *verifying) sortOut(targets []Snapshot) []Snapshot {
	rest := slices.DeleteFunc(slices.Clone(targets), func(b Snapshot) bool { return b.Unreadable != "" })
	if v.o.Backup == "" {
		targets = v.state.broken
	}
	for _, b := range targets {
		done := VerifiedBackup{Name: b.Name, Result: Damaged}
		switch {
		case b.Unreadable == "":
			continue
		case btrfs.IsDamage(b.WhyNot):
			v.addDamage(Damage{Backup: b.Name, Kind: MetadataDamage, Error: b.Unreadable})
		default:
			done.Result = Unread
			v.addUnread(b.WhyNot)
		}
		v.report.Backups = append(v.report.Backups, done)
	}
	return rest
}

// lastClean returns the index of the newest backup found clean, or -1.
func lastClean(backups []Snapshot) int {
	for i := len(backups) - 1; i >= 0; i-- {
		if r := backups[i].Record; backups[i].Unreadable == "" && r != nil && r.Verified != nil && r.Verified.Result == Clean {
			return i
		}
	}
	return -1
}

// readAll reads one backup after the other. Each is the base of the next one
// as long as all of it was read.
func (v *verifying) readAll(targets []Snapshot, base *Snapshot) error {
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
func (v *verifying) readOne(i int, b, base *Snapshot) (whole bool, err error) {
	r, err := v.newBackupReader(b, base)
	if errors.Is(err, ErrBackupGone) && v.o.Backup == "" {
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
	if gone := v.store.gone(*b); gone != nil { // what could not be read says nothing then
		if errors.Is(gone, ErrBackupGone) && v.o.Backup == "" {
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

func (v *verifying) begin(i int, b *Snapshot, r *backupReader) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.progress.Backup, v.progress.Index, v.progress.Total = b.Name, i, 0
	if size := expectedSize(b); size > 0 && r.base == nil {
		v.progress.Total = v.progress.Bytes + size
	}
}

// expectedSize is what rsync said all files have together, or 0. Hard links
// and holes are in it, so less than that may be read.
func expectedSize(b *Snapshot) int64 {
	if b.Record == nil || b.Record.Stats == nil {
		return 0
	}
	return b.Record.Stats.TotalSize
}

func (v *verifying) end(b *Snapshot, r *backupReader) {
	v.mu.Lock()
	defer v.mu.Unlock()
	done := VerifiedBackup{Name: b.Name, Result: Clean, Files: r.files.Load(), Bytes: r.bytes.Load()}
	if r.base != nil {
		done.Since = r.base.Name
	}
	switch {
	case v.damaged[b.Name]:
		done.Result = Damaged
	case r.unread.Load() > 0:
		done.Result = Unread
	}
	v.report.Backups = append(v.report.Backups, done)
	v.report.Files += done.Files
	v.report.Bytes += done.Bytes
}

// conclude corrects the results, since a damage may turn up in a backup that
// was read before, and writes them down: also of backups that were not read,
// but hold a block that is damaged.
func (v *verifying) conclude() {
	results := map[string]VerifyResult{}
	for i := range v.report.Backups {
		b := &v.report.Backups[i]
		if v.damaged[b.Name] {
			b.Result = Damaged
		}
		results[b.Name] = b.Result
	}
	for name := range v.damaged {
		results[name] = Damaged
	}
	// One that was stopped keeps what it found, if it need not wait for that.
	ctx, wait := v.ctx, v.store.patience()
	if ctx.Err() != nil {
		ctx, wait = context.WithoutCancel(ctx), 0
	}
	sink, log, err := v.openLog()
	if err != nil {
		v.notice("what was found is not kept: " + err.Error())
		return
	}
	for _, b := range v.state.all() {
		result, known := results[b.Name]
		if !known || result == Unread {
			continue
		}
		err := v.store.writeVerified(ctx, wait, b, Verification{At: now(v.o.Now), Result: result, Metadata: v.metadata[b.Name]})
		if err != nil && !errors.Is(err, ErrNoBackup) {
			v.notice("what was found is not kept: " + err.Error())
			if b.RecordError == "" {
				break // it is not this record alone
			}
		}
	}
	if sink != nil {
		r := v.report
		log.Info("verified", "backups", len(r.Backups), "files", r.Files, "bytes", r.Bytes, "damaged", r.Damaged, "unread", r.Unread)
		closeLog(sink, v.o.Logger)
	}
}

// writeVerified looks again under the lock of the records, as writePin does:
// the backup may just have been deleted.
func (s *store) writeVerified(ctx context.Context, wait time.Duration, b Snapshot, found Verification) error {
	return s.changeRecord(ctx, wait, b.Name, func(r *Record) (*Record, error) {
		if err := fsyncDir(s.dir); err != nil {
			return nil, err
		}
		there, err := s.has(b)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, failf(ErrNoBackup, "%s was deleted meanwhile", b.Name)
		}
		if r == nil {
			r = &Record{Version: 1, Name: b.Name, Status: Complete}
		}
		r.Verified = &found
		return r, nil
	})
}

// openLog comes before any record is written: it refuses a DEST of somebody
// else, who could not read them any more. On a read-only mount there is no log.
func (v *verifying) openLog() (*activityLog, *slog.Logger, error) {
	sink, log, err := v.store.openLog(v.o.Logger)
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
	var damaged, unread error
	if n := v.report.Damaged; n > 0 {
		damaged = failf(ErrDamaged, "%s damaged in %s", plural(n, "file"), v.store.path)
	}
	if n := v.report.Unread; n > 0 {
		unread = failf(ErrUnread, "%s could not be read, the first: %s", plural(n, "file"), v.report.Unreads[0])
	}
	return errors.Join(damaged, unread)
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

func (v *verifying) addDamage(d Damage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	file := DamagedFile{d.Backup, d.Path}
	if v.reported[file] { // a backup that is read once more
		return
	}
	v.reported[file] = true
	v.report.Damaged++
	if len(v.report.Damages) < maxDamages {
		v.report.Damages = append(v.report.Damages, d)
	}
	v.damaged[d.Backup] = true
	if d.Kind == MetadataDamage {
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
