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

// Config is the content of the files.
type Config struct {
	Files   []string // absolute, in the order they were read
	Run     Run
	Metrics Metrics
	Groups  []string // the defined ones, sorted
	Jobs    []Job    // in the order of the files; a table with several sources makes several jobs
	Values  []Value  // of [run] and [metrics], in the order of the files
	// Warnings do not stop a run: for example a file that others can write, but that runs nothing.
	Warnings []Problem
}

// Run has the settings of a whole run.
type Run struct {
	Jobs    int    // at once; 0: not set
	PerHost int    // at once from one host; 0: no limit
	PerDisk int    // at once to one filesystem; 0: no limit
	State   string // a directory; "": not set
}

// Metrics is where metrics are written.
type Metrics struct {
	Textfile string // a file for the textfile collector of node_exporter; "": none
}

// Job is one source, one DEST, and the steps between them.
type Job struct {
	Name    string   // the name of its table; for one of several sources TABLE.SOURCE
	Table   string   // NAME of [job.NAME]
	Groups  []string // the groups whose values it has
	Defined Origin

	// Backup has Source, Dest and everything that the flags of backup set. Prune, DryRun, Changes, Now, Logger,
	// Progress and Version are not set.
	Backup rsbtbackup.BackupOptions
	// SSH is part of Backup.Rsh already.
	SSH SSH
	// Bwlimits replace Backup.Bwlimit at their times of day.
	Bwlimits []RateWindow
	// Prune has the rules, if NoPrune is false and there is a rule or MinFree; see Prunes.
	Prune   rsbtbackup.PruneOptions
	NoPrune bool
	Verify  Verify
	Check   Check
	Copies  []Copy // sorted by name

	Removable  bool          // DEST is on a disk that may be absent
	NoBattery  bool          // not while the machine runs on battery
	NoMetered  bool          // not over a metered connection
	RetryFor   time.Duration // how long an unreachable source is tried again; 0: never
	RetryDelay time.Duration // before the second try; it doubles
	TimeLimit  time.Duration // of the whole job; 0: none
	Nice       int           // 0 to 19
	Ionice     string        // "", best-effort:0 to best-effort:7, or idle

	Hooks    Hooks
	Ping     Ping
	HTTP     []HTTP // sorted by name
	Schedule Schedule

	Values []Value // the values that were set, in the order of Keys
}

// Prunes reports whether backups are deleted after a backup.
func (j Job) Prunes() bool {
	return !j.NoPrune && (!j.Prune.Policy.IsEmpty() || j.Prune.MinFree != (rsbtbackup.MinFree{}))
}

// Verify says when backups are read from the disk, and how.
type Verify struct {
	Every   Every
	NewOnly bool
	Jobs    int
	Against bool // also compare with the source
}

// Check says when DEST is checked, and its limits.
type Check struct {
	Every   Every
	Options rsbtbackup.CheckOptions
}

// Hooks are programs with arguments, each run without a shell.
type Hooks struct {
	Before, After, Failure, Finally []Command
	BeforeSnapshot, AfterSnapshot   []Command // before and after a source snapshot
	Timeout                         time.Duration
	OnFailure                       string // of a hook: stop or warn; "" is stop
}

// Command is a program and its arguments.
type Command []string

// Ping is a monitor that raises an alarm if no report comes.
type Ping struct {
	URL     Secret
	Style   string // healthchecks, uptime-kuma or cronitor; "" is healthchecks
	Timeout time.Duration
	Retries *int // nil: not set
}

// HTTP is a request to a server.
type HTTP struct {
	Name    string
	URL     Secret
	Method  string            // "" is POST
	Headers map[string]Secret // by name
	Body    string            // a template
	On      []string          // start, success, failure; by default failure
	Timeout time.Duration
	Retries *int
}

// Schedule has the settings of the timer.
type Schedule struct {
	On          string         // a calendar expression of systemd
	RandomDelay *time.Duration // nil: not set
	IOWeight    int            // 0: not set
}

// Value is one effective value of a job.
type Value struct {
	Key  string
	Text string // as TOML, secrets hidden
	From []Origin
}

// Origin is where a value, or a table, was set.
type Origin struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Table string `json:"table,omitempty"` // such as defaults or job.etc
}

// Any reports whether there is a hook.
func (h Hooks) Any() bool {
	return len(h.Before)+len(h.After)+len(h.Failure)+len(h.Finally)+len(h.BeforeSnapshot)+len(h.AfterSnapshot) > 0
}

// Credentials are the names of the systemd credentials that contain secrets of the job.
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
