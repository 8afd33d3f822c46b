// Package config reads rsbtbackup.toml: which jobs there are and what each of them does.
//
//	find.go     where the file is
//	parse.go    TOML to values with their places
//	include.go  the files that a file names
//	keys.go     the keys: name, kind, documentation, where the value goes
//	decode.go   what a key takes, and what is wrong with what it was given
//	inherit.go  from [defaults], [group.NAME] and [job.NAME] to jobs
//	safe.go     who else can write a file
//	schema.go   the JSON schema; example.go a file to start from
//
// Everything is data: nothing here reads a source, a DEST or a secret, and nothing runs.
package config

import (
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

// Config is what the files say.
type Config struct {
	Files   []string // absolute, in the order they were read
	Run     Run
	Metrics Metrics
	Groups  []string // that are defined, sorted
	Jobs    []Job    // in the order of the files; a table with several sources makes several
	Values  []Value  // of [run] and [metrics], in the order of the files
	// Warnings are no reason to stop: a file that others can write, but that runs nothing.
	Warnings []Problem
}

// Run is what holds for a whole run.
type Run struct {
	Jobs    int    // at once; 0: not said
	PerHost int    // at once from one host; 0: no limit
	PerDisk int    // at once to one filesystem; 0: no limit
	State   string // directory; "": not said
}

// Metrics is where figures go.
type Metrics struct {
	Textfile string // a file for the textfile collector of node_exporter; "": none
}

// Job is one source, one DEST, and what is done between them.
type Job struct {
	Name    string   // that of its table; for one of several sources TABLE.SOURCE
	Table   string   // NAME of [job.NAME]
	Groups  []string // whose values it has
	Defined Origin

	// Backup has Source, Dest and all that the flags of backup say. Prune, DryRun, Changes, Now, Logger, Progress and
	// Version are not set.
	Backup rsbtbackup.BackupOptions
	// SSH is part of Backup.Rsh already.
	SSH SSH
	// Bwlimits take the place of Backup.Bwlimit at their times of day.
	Bwlimits []RateWindow
	// Prune says what to keep, if NoPrune is false and it has a rule or MinFree; see Prunes.
	Prune   rsbtbackup.PruneOptions
	NoPrune bool
	Verify  Verify
	Check   Check
	Copies  []Copy // sorted by name

	Removable  bool          // DEST is on a disk that may be absent
	NoBattery  bool          // not while the machine runs on battery
	NoMetered  bool          // not over a link that is paid by volume
	RetryFor   time.Duration // how long an unreachable source is tried again; 0: not at all
	RetryDelay time.Duration // before the first new try; it doubles
	TimeLimit  time.Duration // of the whole job; 0: none
	Nice       int           // 0 to 19
	Ionice     string        // "", best-effort:0 to best-effort:7, or idle

	Hooks    Hooks
	Ping     Ping
	HTTP     []HTTP // sorted by name
	Schedule Schedule

	Values []Value // what was set, in the order of Keys
}

// Prunes reports whether backups are deleted after a backup.
func (j Job) Prunes() bool {
	return !j.NoPrune && (!j.Prune.Policy.IsEmpty() || j.Prune.MinFree != (rsbtbackup.MinFree{}))
}

// Verify says when backups are read back, and how.
type Verify struct {
	Every   Every
	NewOnly bool
	Jobs    int
	Against bool // compare with the source too
}

// Check says when DEST is checked, and what it is measured by.
type Check struct {
	Every   Every
	Options rsbtbackup.CheckOptions
}

// Hooks are programs with arguments, each run without a shell.
type Hooks struct {
	Before, After, Failure, Finally []Command
	BeforeSnapshot, AfterSnapshot   []Command // around the instant of a source snapshot
	Timeout                         time.Duration
	OnFailure                       string // of a hook: stop or warn; "" is stop
}

// Command is a program and its arguments.
type Command []string

// Ping is a dead man's switch.
type Ping struct {
	URL     Secret
	Style   string // healthchecks, uptime-kuma or cronitor; "" is healthchecks
	Timeout time.Duration
	Retries *int // nil: not said
}

// HTTP is a request that tells somebody.
type HTTP struct {
	Name    string
	URL     Secret
	Method  string            // "" is POST
	Headers map[string]Secret // by name
	Body    string            // a template
	On      []string          // start, success, failure; none is failure
	Timeout time.Duration
	Retries *int
}

// Schedule is for the timer.
type Schedule struct {
	On          string         // a calendar expression of systemd
	RandomDelay *time.Duration // nil: not said
	IOWeight    int            // 0: not said
}

// Value is one key of a job as it holds.
type Value struct {
	Key  string
	Text string // as TOML, secrets hidden
	From []Origin
}

// Origin is where a value, or a table, stands.
type Origin struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Table string `json:"table,omitempty"` // such as defaults or job.etc
}

// Any reports whether there is a hook.
func (h Hooks) Any() bool {
	return len(h.Before)+len(h.After)+len(h.Failure)+len(h.Finally)+len(h.BeforeSnapshot)+len(h.AfterSnapshot) > 0
}

// Credentials are the names of the systemd credentials that secrets of the job are.
func (j Job) Credentials() []string {
	secrets := []Secret{j.Ping.URL}
	for _, h := range j.HTTP {
		secrets = append(secrets, h.URL)
		for _, s := range h.Headers {
			secrets = append(secrets, s)
		}
	}
	var names []string
	for _, s := range secrets {
		if name := s.Credential(); name != "" {
			names = append(names, name)
		}
	}
	return names
}
