package metrics

import (
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// often is the minimum time between two writes while jobs end.
const often = 10 * time.Second

// Textfile is the file of a run. It has all jobs of the config, also those that do not run now.
type Textfile struct {
	file     string
	jobs     []config.Job
	stateDir string
	now      func() time.Time

	mu      sync.Mutex
	ended   map[string]jobs.State // in this run
	written time.Time
}

// New is the file that a config names. Nothing is written yet.
func New(file string, all []config.Job, stateDir string, now func() time.Time) *Textfile {
	return &Textfile{file: file, jobs: all, stateDir: stateDir, now: now, ended: map[string]jobs.State{}}
}

// Done adds the result of a job, and writes the file unless it was just written. If that fails, Close tries again.
func (t *Textfile) Done(r jobs.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended[r.Job.Name] = r.State
	if t.now().Sub(t.written) >= often {
		_ = t.write()
	}
}

// Close writes the file at the end of a run.
func (t *Textfile) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.write()
}

func (t *Textfile) write() error {
	t.written = t.now()
	return replace(t.file, func() string { return format(t.states()) })
}

// states are those of all jobs. A state that another run has stored later is newer than ours; a state that could not be
// stored is known only to this run.
func (t *Textfile) states() []jobs.State {
	all := make([]jobs.State, len(t.jobs))
	for i, j := range t.jobs {
		s, err := jobs.ReadState(t.stateDir, j.Name)
		if ours, ok := t.ended[j.Name]; ok && (err != nil || lastRun(ours).After(lastRun(s))) {
			s = ours
		}
		if s.Dest != j.Backup.Dest {
			s = jobs.State{} // of another job with that name
		}
		s.Job, s.Dest = j.Name, j.Backup.Dest
		all[i] = s
	}
	return all
}

func lastRun(s jobs.State) time.Time {
	var last time.Time
	for _, step := range s.Steps {
		if step.At.After(last) {
			last = step.At
		}
	}
	return last
}
