package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// State is what is stored about a job between runs: how long it takes, and what failed. Without it everything still
// works: whether a backup is due is read from DEST.
type State struct {
	Version int                `json:"version"` // of this format: 1
	Job     string             `json:"job"`
	Dest    string             `json:"dest"`            // if it changes, the other fields are not valid
	Length  time.Duration      `json:"length,omitzero"` // ns, of the last job whose backup succeeded
	Newest  time.Time          `json:"newest,omitzero"` // when the newest complete backup was begun, or found current
	Free    uint64             `json:"free,omitzero"`   // bytes, at the end of the last job
	Total   uint64             `json:"total,omitzero"`
	Steps   map[Step]StepState `json:"steps,omitempty"`
}

// StepState is the last run of a step, the last that succeeded, and the last that failed.
type StepState struct {
	At      time.Time `json:"at"`
	OK      time.Time `json:"ok,omitzero"`
	Failure *Failure  `json:"failure,omitempty"`

	Exit  int           `json:"exit"`            // of the last run
	Took  time.Duration `json:"took,omitzero"`   // ns, by the last run
	Bytes *int64        `json:"bytes,omitempty"` // in the files of the last backup, or read from the disk
	Files *int64        `json:"files,omitempty"`
	Added *uint64       `json:"added_bytes,omitempty"` // by the last backup
}

// failing reports whether the last failure is newer than the last success.
func (s StepState) failing() bool { return s.Failure != nil && s.Failure.At.After(s.OK) }

// Failure is why a step failed.
type Failure struct {
	At    time.Time `json:"at"`
	Step  Step      `json:"step"`
	Error string    `json:"error"`
	Exit  int       `json:"exit"`
}

// Failing reports whether any step failed since it last succeeded.
func (s State) Failing() bool {
	for _, step := range s.Steps {
		if step.failing() {
			return true
		}
	}
	return false
}

// LastFailure is the newest failure of a step that has not succeeded since; if there is none, of any step; or nil.
func (s State) LastFailure() *Failure {
	var last *Failure
	failing := s.Failing()
	for _, step := range s.Steps {
		if f := step.Failure; f != nil && step.failing() == failing && (last == nil || f.At.After(last.At)) {
			last = f
		}
	}
	return last
}

// add is the state after a job. Only a success updates OK; skipped, fresh and stopped steps change nothing.
func (s State) add(r Result) State {
	next := State{Version: 1, Job: r.Job.Name, Dest: r.Job.Backup.Dest, Length: s.Length, Steps: map[Step]StepState{}}
	if s.Dest == next.Dest {
		maps.Copy(next.Steps, s.Steps)
	}
	// Results of hooks belong to one run: the next one may have others, or none. Steps that the config does not have
	// any more are dropped, too: their last failure could never be followed by a success.
	begun := ran(r)
	maps.DeleteFunc(next.Steps, func(s Step, _ StepState) bool { return s.isHook() && begun || !has(r.Job, s) })
	if next.Newest, next.Free, next.Total = s.Newest, s.Free, s.Total; s.Dest != next.Dest {
		next.Newest, next.Free, next.Total = time.Time{}, 0, 0
	}
	for _, v := range r.Verdicts {
		st := next.Steps[v.Step]
		switch v.Status {
		case OK:
			st.At, st.OK = v.Ended, v.Ended
			if v.Step == Backup {
				next.Length = r.Ended.Sub(r.Started)
			}
			if v.Step.isCopy() {
				st.OK = v.Started // it does not have what another run added to DEST later
			}
		case Failed, Incomplete:
			st.At, st.Failure = v.Ended, &Failure{v.Ended, v.Step, v.Error, v.Exit}
		default:
			continue
		}
		st.Exit, st.Took = v.Exit, v.Ended.Sub(v.Started)
		next.Steps[v.Step] = st.count(v)
	}
	return next
}

// has reports whether the config has a step for a job.
func has(j config.Job, s Step) bool {
	switch s {
	case Prune:
		return j.Prunes()
	case Verify:
		return !j.Verify.Every.Never()
	case Against:
		return !j.Verify.Every.Never() && j.Verify.Against
	case Check:
		return !j.Check.Every.Never()
	}
	if !s.isCopy() {
		return true
	}
	return slices.ContainsFunc(j.Copies, func(c config.Copy) bool { return s == copyStep(c.Name) })
}

// ran reports whether a job did anything that its hooks belong to. A fresh job runs none of them, whatever else is due.
func ran(r Result) bool {
	if v, ok := r.Find(Backup); ok && v.Status == Fresh {
		return false
	}
	return slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.Status == OK || v.Status == Failed || v.Status == Incomplete })
}

// count stores the figures of a step. If a step failed early and has none, the last ones stay.
func (s StepState) count(v Verdict) StepState {
	switch {
	case v.Backup != nil && v.Backup.Name != "" && v.Backup.Stats != nil:
		s.Bytes, s.Files, s.Added = &v.Backup.Stats.TotalSize, &v.Backup.Stats.Files, v.Backup.AddedBytes
	case v.Verify != nil:
		s.Bytes, s.Files = &v.Verify.Bytes, &v.Verify.Files
	}
	return s
}

// see stores information from DEST.
func (s State) see(l *rsbtbackup.Listing) State {
	s.Newest, s.Free, s.Total = newest(l.Backups), l.Free, l.Total
	return s
}

// StateDir is where states are stored: the directory in the config, or the one that systemd prepared (StateDirectory=),
// or a system directory for root and a private one for other users.
func StateDir(c config.Run, env func(string) string, euid int) string {
	switch {
	case c.State != "":
		return c.State
	case filepath.IsAbs(env("STATE_DIRECTORY")):
		return env("STATE_DIRECTORY")
	case euid == 0:
		return "/var/lib/rsbtbackup"
	case filepath.IsAbs(env("XDG_STATE_HOME")):
		return filepath.Join(env("XDG_STATE_HOME"), "rsbtbackup")
	}
	return filepath.Join(env("HOME"), ".local/state/rsbtbackup")
}

func stateFile(dir, job string) string { return filepath.Join(dir, job+".json") }

// ReadState reads the state of a job. One that is missing is empty. With an error it is empty too.
func ReadState(dir, job string) (State, error) {
	name := stateFile(dir, job)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("state: %w", err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("state: %s: %w", name, err)
	}
	if s.Version != 1 || s.Job != job {
		return State{}, fmt.Errorf("state: %s: version %d of job %q", name, s.Version, s.Job)
	}
	return s, nil
}

// writeState replaces the last state by a rename, so that nobody reads a part of it. It need not survive a power cut.
func writeState(dir string, s State) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	f, err := os.CreateTemp(dir, "."+s.Job+".*")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("state: %w", err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), stateFile(dir, s.Job))
}
