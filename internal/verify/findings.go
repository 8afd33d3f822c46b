// Findings: what the readers report, from several goroutines.

package verify

import (
	"sync"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

const (
	maxDamages = 1000
	maxUnreads = 100
)

// findings collects what was found. Its methods may be called from several goroutines.
type findings struct {
	found func(facts.Damage)         // called for each damage, if set
	tell  func(facts.VerifyProgress) // called with the progress, if set

	mu               sync.Mutex // for what follows, and for the callbacks
	progress         facts.VerifyProgress
	backups          []facts.VerifiedBackup
	damages          []facts.Damage // the first
	files            int            // damaged
	unread           int
	unreads          []string // the first
	notVerified      int
	notVerifiedFiles []facts.DamagedFile // the first
	notices          []string
	damaged          map[string]bool // backups
	metadata         map[string]bool // those with damaged metadata
	unsure           map[string]bool // backups with data that has no checksums
	reported         map[facts.DamagedFile]bool
}

func newFindings(o Options) *findings {
	return &findings{
		found: o.Found, tell: o.Progress,
		damaged: map[string]bool{}, metadata: map[string]bool{}, unsure: map[string]bool{}, reported: map[facts.DamagedFile]bool{},
	}
}

// report returns everything found. Damage may be found later in a backup that was already read.
func (f *findings) report(dest string) Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := Report{
		Dest: dest, Backups: f.backups, Damages: f.damages, Damaged: f.files, Unread: f.unread, Unreads: f.unreads,
		NotVerified: f.notVerified, NotVerifiedFiles: f.notVerifiedFiles, Notices: f.notices,
	}
	for i := range r.Backups {
		b := &r.Backups[i]
		if f.damaged[b.Name] {
			b.Result = facts.Damaged
		}
		r.Files += b.Files
		r.Bytes += b.Bytes
	}
	return r
}

// expect sets how many backups will be read.
func (f *findings) expect(backups int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress.Backups = backups
}

// add adds a backup that was not read.
func (f *findings) add(done facts.VerifiedBackup) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backups = append(f.backups, done)
}

// begin sets the backup that is read next; all says that all of it is read.
func (f *findings) begin(i int, b facts.Snapshot, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress.Backup, f.progress.Index, f.progress.Total = b.Name, i, 0
	if size := expectedSize(b); size > 0 && all {
		f.progress.Total = f.progress.Bytes + size
	}
}

// expectedSize is the total size of all files according to rsync, or 0. It includes hard links and holes, so less may
// be read.
func expectedSize(b facts.Snapshot) int64 {
	if b.Record == nil || b.Record.Stats == nil {
		return 0
	}
	return b.Record.Stats.TotalSize
}

// end stores the result of a backup that was read.
func (f *findings) end(b facts.Snapshot, r *backupReader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := facts.VerifiedBackup{Name: b.Name, Result: facts.Clean, Files: r.files.Load(), Bytes: r.bytes.Load()}
	if r.base != nil {
		done.Since = r.base.Name
	}
	switch {
	case f.damaged[b.Name]:
		done.Result = facts.Damaged
	case r.unread.Load() > 0:
		done.Result = facts.Unread
	case f.unsure[b.Name], r.base != nil && f.unsure[r.base.Name]:
		done.Result, f.unsure[b.Name] = facts.NotVerified, true // it shares unverified data with its base
	}
	f.backups = append(f.backups, done)
}

func (f *findings) notice(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notices = append(f.notices, text)
}

// addUnread notes a file that could not be read for another reason than damage.
func (f *findings) addUnread(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unread++
	if len(f.unreads) < maxUnreads {
		f.unreads = append(f.unreads, err.Error())
	}
}

// addNotVerified counts a file whose data has no checksums.
func (f *findings) addNotVerified(backup, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsure[backup] = true
	f.notVerified++
	if len(f.notVerifiedFiles) < maxUnreads {
		f.notVerifiedFiles = append(f.notVerifiedFiles, facts.DamagedFile{Backup: backup, Path: path})
	}
}

func (f *findings) addDamage(d facts.Damage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := facts.DamagedFile{Backup: d.Backup, Path: d.Path}
	if f.reported[file] { // the backup is read a second time
		return
	}
	f.reported[file] = true
	f.files++
	if len(f.damages) < maxDamages {
		f.damages = append(f.damages, d)
	}
	f.damaged[d.Backup] = true
	if d.Kind == facts.MetadataDamage {
		f.metadata[d.Backup] = true
	}
	for _, p := range d.Shared {
		f.damaged[p.Backup] = true
	}
	if f.found != nil {
		f.found(d)
	}
}

func (f *findings) advance(files, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress.Files += files
	f.progress.Bytes += bytes
	if f.tell != nil {
		f.tell(f.progress)
	}
}
