// Package units makes the text of the files that start jobs: a service and a timer of systemd, or a file for cron.
//
//	units.go    what is started, and when
//	service.go  the service; sandbox.go what it may do
//	timer.go    the timer
//	mail.go     the template for the mail about a failure
//	cron.go     the file for cron, and from a calendar expression to its fields
//	quote.go    words in units
//
// The package is pure: package timers examines the machine and writes the files.
package units

import (
	"cmp"
	"path/filepath"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Started is one call of "rsbtbackup run", and when it is due.
type Started struct {
	Name    string   // of the units, without a suffix: rsbtbackup-all
	Args    []string // which jobs, as "rsbtbackup run" takes it
	On      string   // a calendar expression
	Program string   // rsbtbackup, absolute
	Config  *config.Config
	Jobs    []config.Job
	User    bool // units of an ordinary user
	// Homes are the roots of the subvolumes in which snapshots of sources are made.
	Homes []string
}

// Marker is in the first line of each file. Only files that have it are overwritten or removed.
func Marker(name string) string { return "# Made by \"rsbtbackup schedule\" for " + name + "." }

// defaultDelay: machines with the same config must not all begin at the same time.
const defaultDelay = 15 * time.Minute

// delay is the longest delay that a job asks for.
func (s Started) delay() time.Duration {
	longest := time.Duration(0)
	for _, j := range s.Jobs {
		d := defaultDelay
		if j.Schedule.RandomDelay != nil {
			d = *j.Schedule.RandomDelay
		}
		longest = max(longest, d)
	}
	return longest
}

// command is the command line, as words.
func (s Started) command() []string {
	return slices.Concat([]string{s.Program, "run"}, s.Args, []string{"--config=" + s.Config.Files[0]})
}

// onMains reports whether no job may begin on battery.
func (s Started) onMains() bool {
	return len(s.Jobs) > 0 && !slices.ContainsFunc(s.Jobs, func(j config.Job) bool { return !j.NoBattery })
}

// reachesOut reports whether a job needs another machine.
func (s Started) reachesOut() bool {
	return slices.ContainsFunc(s.Jobs, func(j config.Job) bool {
		return config.Host(j.Backup.Source) != "" || j.Ping.URL.IsSet() || len(j.HTTP) > 0 ||
			slices.ContainsFunc(j.Copies, func(c config.Copy) bool { return c.Host() != "" })
	})
}

func (s Started) hasHooks() bool {
	return slices.ContainsFunc(s.Jobs, func(j config.Job) bool { return j.Hooks.Any() })
}

// dests are the DESTs of the jobs, sorted: all of them, or those on disks that are always attached.
func (s Started) dests(removable bool) []string {
	var dests []string
	for _, j := range s.Jobs {
		if removable || !j.Removable {
			dests = append(dests, j.Backup.Dest)
		}
	}
	slices.Sort(dests)
	return slices.Compact(dests)
}

// targets are the directories for copies on this machine. They are in no RequiresMountsFor=: if a disk is missing, its
// copy must fail, but not the backup.
func (s Started) targets() []string {
	var targets []string
	for _, j := range s.Jobs {
		for _, c := range j.Copies {
			if c.Host() == "" {
				targets = append(targets, c.Target)
			}
		}
	}
	slices.Sort(targets)
	return targets
}

// written are the paths that a run writes to, besides StateDirectory=.
func (s Started) written() []string {
	paths := slices.Concat(s.dests(true), s.targets(), s.Homes)
	if s.Config.Run.State != "" {
		paths = append(paths, s.Config.Run.State)
	}
	if s.Config.Metrics.Textfile != "" {
		paths = append(paths, filepath.Dir(s.Config.Metrics.Textfile)) // the file is replaced in there
	}
	return paths
}

// nice is the least value that a job asks for: a job can lower its priority further, but not raise it.
func (s Started) nice() int {
	least := 19
	for _, j := range s.Jobs {
		least = min(least, j.Nice)
	}
	return least
}

// ionice is the class that all jobs ask for, or "" if they differ.
func (s Started) ionice() string {
	class := ""
	for i, j := range s.Jobs {
		if i > 0 && j.Ionice != class {
			return ""
		}
		class = j.Ionice
	}
	return class
}

// ioWeight is the greatest weight that a job asks for. A job that asks for none has the default of 100.
func (s Started) ioWeight() int {
	weight := 0
	for _, j := range s.Jobs {
		weight = max(weight, cmp.Or(j.Schedule.IOWeight, 100))
	}
	if weight == 100 {
		return 0
	}
	return weight
}

// credentials are the names of the credentials that hold secrets of the jobs, sorted.
func (s Started) credentials() []string {
	var names []string
	for _, j := range s.Jobs {
		names = append(names, j.Credentials()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
