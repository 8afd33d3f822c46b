package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Copy is a second place for the backups of a job, filled after each of them.
type Copy struct {
	Name   string
	Target string // a directory, or HOST:PATH
	// Options has SSH, Program, Decompress, Bwlimit and Keep.
	Options   rsbtbackup.CopyOptions
	MaxAge    time.Duration // of the newest complete backup in it; 0: not set
	Removable bool          // its disk may be absent
}

// Host is the host of the target, "" for this machine.
func (c Copy) Host() string { return Host(c.Target) }

func copyKeys() []Key {
	keep := func(name, doc string, set func(p *retention.Policy, n int)) Key {
		return copyKey(name, Count, "7", doc, func(c *Copy, n int) { set(&c.Options.Keep, n) })
	}
	within := func(name, doc string, set func(p *retention.Policy, s retention.Span)) Key {
		return copyKey(name, Span, `"30d"`, doc, func(c *Copy, s retention.Span) { set(&c.Options.Keep, s) })
	}
	target := copyKey("target", Text, `"root@vault:/backup/etc"`, "Where backups are copied to, under a name of your choice, after each of them: the absolute path of a directory on another btrfs that \"rsbtbackup init\" has prepared, or host:/path. No other job may have it. With several sources each has a directory of its own below it, as below dest.",
		func(c *Copy, v string) { c.Target = v })
	target.JobOnly = true
	rsh := copyKey("rsh", Text, `"ssh -i /root/.ssh/vault"`, "The remote shell.", func(c *Copy, v string) { c.Options.SSH = strings.Fields(v) })
	program := copyKey("program", Text, `"/usr/local/bin/rsbtbackup"`, "The path of rsbtbackup on the other host.", func(c *Copy, v string) { c.Options.Program = v })
	rsh.Runs, program.Runs = true, true
	rules := ruleKeys(keep, within, ruleDocs{
		last:         "What the target keeps: the newest N. Without a rule nothing is deleted there; with one, what it does not keep is not sent.",
		hourly:       "The newest of each of the last N hours that have one.",
		within:       "What is less than this older than the latest.",
		withinHourly: "Of those, the newest of each hour.",
	})
	return append([]Key{
		target, rsh, program,
		copyKey("bwlimit", Rate, `"5m"`, "Limit the transfer per second, as rsync does: 500k, 10m.", func(c *Copy, v string) { c.Options.Bwlimit = v }),
		copyKey("decompress", Bool, "false", "Decompress compressed data before sending it, for a target with another block size.", func(c *Copy, v bool) { c.Options.Decompress = v }),
		copyKey("max-age", Age, `"50h"`, "How old the newest complete backup in it may be. The default is twice check.max-age.", func(c *Copy, v time.Duration) { c.MaxAge = v }),
		copyKey("removable", Bool, "false", "Its disk may be absent: the copy is then skipped without a warning, as for the key of the job, and is late only if it has its own max-age.", func(c *Copy, v bool) { c.Removable = v }),
	}, rules...)
}

func copyKey[T any](name string, kind Kind, example, doc string, set func(*Copy, T)) Key {
	return Key{Name: "copy.*." + name, Kind: kind, Example: example, Doc: doc,
		set: named(func(j *Job, copy string, v T) { set(j.copyTo(copy), v) })}
}

// copyTo returns the copy with that name, and adds it if it is missing.
func (j *Job) copyTo(name string) *Copy {
	i, found := slices.BinarySearchFunc(j.Copies, name, func(c Copy, name string) int { return strings.Compare(c.Name, name) })
	if !found {
		j.Copies = slices.Insert(j.Copies, i, Copy{Name: name})
	}
	return &j.Copies[i]
}

// settleCopies drops copies that only [defaults] or a group has: they have no target for this job.
func settleCopies(j *Job, settings map[string]setting) *keyError {
	for i := len(j.Copies) - 1; i >= 0; i-- {
		c, table := j.Copies[i], "copy."+j.Copies[i].Name
		if c.Target == "" {
			own := jobTable + "." + j.Table
			for name, st := range settings {
				if strings.HasPrefix(name, table+".") && st.from.Table == own {
					return &keyError{name, errors.New("[" + own + "." + table + "] has no target")}
				}
			}
			j.Copies = slices.Delete(j.Copies, i, i+1)
			continue
		}
		if err := checkCopy(c, *j); err != nil {
			return &keyError{table + ".target", err}
		}
		if err := c.Options.Keep.Validate(); err != nil && !c.Options.Keep.IsEmpty() {
			return &keyError{table + ".keep-last", err}
		}
	}
	return nil
}

func checkCopy(c Copy, j Job) error {
	switch {
	case !nameOf().MatchString(c.Name):
		return fmt.Errorf("%q: the name of a copy has letters, digits, and after the first character . and -, 64 at most", c.Name)
	case strings.HasPrefix(c.Target, "rsync://"), strings.Contains(c.Target, "::"):
		return errors.New(c.Target + ": an rsync daemon cannot receive backups; want host:/path, reached by ssh")
	case c.Host() == "" && !filepath.IsAbs(c.Target):
		return errors.New(c.Target + ": want an absolute path, or host:/path")
	case c.Host() == "" && filepath.Clean(c.Target) == filepath.Clean(j.Backup.Dest):
		return errors.New(c.Target + ": it is the dest of the job")
	}
	return nil
}

// below is the target for one source of a job with several.
func (c Copy) below(suffix string) Copy {
	c.Target = strings.TrimRight(c.Target, "/") + "/" + suffix
	return c
}

// checkTargets: no two jobs or copies write to the same directory.
func (a *assembler) checkTargets(dests map[string]Job) {
	targets := map[string]string{}
	for _, j := range a.config.Jobs {
		for _, c := range j.Copies {
			host, path, remote := strings.Cut(c.Target, ":/")
			target := host + ":" + filepath.Clean("/"+path)
			if c.Host() == "" || !remote {
				target = RealPath(filepath.Clean(c.Target))
			}
			if other, taken := dests[target]; taken {
				a.problem(j.Defined, "copy %s of job %s has the dest of job %s in %s:%d as its target, %s: each needs a directory of its own",
					c.Name, j.Name, other.Name, other.Defined.File, other.Defined.Line, target)
			}
			if other, taken := targets[target]; taken {
				a.problem(j.Defined, "copy %s of job %s has the same target as %s, %s: each needs a directory of its own", c.Name, j.Name, other, target)
			}
			targets[target] = "copy " + c.Name + " of job " + j.Name
		}
	}
}
