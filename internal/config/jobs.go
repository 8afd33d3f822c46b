// Rules for a job as a whole.

package config

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup"
)

// expand adds the job, or one for each of its sources.
func (a *assembler) expand(j Job, settings map[string]setting) {
	at := func(key string) Origin {
		if st, ok := settings[key]; ok {
			return st.from
		}
		return j.Defined
	}
	sources, _ := settings["source"].value.([]string)
	broken := a.find(jobTable, j.Table).broken
	switch {
	case len(sources) == 0 && !broken:
		a.problem(j.Defined, "[job.%s] has no source", j.Table)
	case j.Backup.Dest == "" && !broken:
		a.problem(j.Defined, "[job.%s] has no dest", j.Table)
	}
	if err := checkJob(j, sources); err != nil {
		a.problem(at(err.key), "%s: %v", err.key, err.err)
	}
	if err := settleCopies(&j, settings); err != nil {
		a.problem(at(err.key), "%s: %v", err.key, err.err)
	}
	j.Backup.Dest = cleaned(j.Backup.Dest)
	dests := map[string]string{}
	for _, source := range sources {
		one := j
		one.Backup.Source = source
		var err error
		if one.Backup.Rsh, err = j.SSH.Shell(j.Backup.Rsh, source); err != nil {
			a.problem(at(sshKey(j.SSH)), "%v", err)
		}
		if Host(source) != "" {
			a.withoutMarks(&one, settings)
		}
		if len(sources) > 1 {
			suffix := sourceName(source)
			if other, taken := dests[suffix]; taken {
				a.problem(at("source"), "source: %s and %s would both have the directory %s: make them two jobs", other, source, filepath.Join(j.Backup.Dest, suffix))
			}
			dests[suffix] = source
			one.Name += "." + suffix
			one.Backup.Dest = filepath.Join(j.Backup.Dest, suffix)
			one.Copies = nil
			for _, c := range j.Copies {
				one.Copies = append(one.Copies, c.below(suffix))
			}
		}
		a.config.Jobs = append(a.config.Jobs, one)
	}
}

// withoutMarks: rsync has no rule for marked directories. Marks in [defaults] or a group apply only to sources on this
// machine; in a job with another source they are refused.
func (a *assembler) withoutMarks(j *Job, settings map[string]setting) {
	for _, key := range []string{"exclude-caches", "exclude-if-present"} {
		if st, ok := settings[key]; ok && st.raw != false && st.from.Table == jobTable+"."+j.Table {
			a.problem(st.from, "%s: %s is on another machine, and rsync has no such rule: leave the directories out by exclude", key, j.Backup.Source)
		}
	}
	j.Backup.ExcludeCaches, j.Backup.ExcludeIfPresent = false, nil
}

// sshKey returns a key for ssh that is set.
func sshKey(s SSH) string {
	switch {
	case s.Identity != "":
		return "ssh-identity"
	case s.KnownHosts != "":
		return "ssh-known-hosts"
	}
	return "ssh-user"
}

func cleaned(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Clean(path)
}

var notInName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9_.]+`) })

// sourceName makes a name from the path of a source: var-lib for web1:/var/lib, root for /.
func sourceName(source string) string {
	path := source
	if Host(source) != "" {
		path = strings.TrimPrefix(path, "rsync://")
		if i := strings.LastIndex(path, ":"); i >= 0 && !strings.HasPrefix(source, "rsync://") {
			path = path[i+1:]
		} else if _, below, found := strings.Cut(path, "/"); found {
			path = below
		}
	}
	if name := strings.Trim(notInName().ReplaceAllString(path, "-"), "-"); strings.Trim(name, ".") != "" {
		return name
	}
	return "root"
}

var remote = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:rsync://)?(?:[^/:@\[\]]+@)?(\[[^]]*\]|[^/:\[\]]+)(?::|/)`)
})

// Host is the host of a source, "" for this machine.
func Host(source string) string {
	if strings.HasPrefix(source, "rsync://") {
		if m := remote().FindStringSubmatch(source); m != nil {
			return m[1]
		}
		return source
	}
	before, _, found := strings.Cut(source, "/")
	if !found {
		before = source
	}
	m := remote().FindStringSubmatch(source)
	if !strings.Contains(before, ":") || m == nil {
		return ""
	}
	return m[1]
}

// keyError is an error in a job, and the key that causes it.
type keyError struct {
	key string
	err error
}

// checkJob checks what single keys do not show. It returns the first error.
func checkJob(j Job, sources []string) *keyError {
	for _, s := range sources {
		if Host(s) == "" && !filepath.IsAbs(s) {
			return &keyError{"source", errors.New(s + ": want an absolute path, or host:/path")}
		}
	}
	for _, file := range j.Backup.ExcludeFrom {
		if !filepath.IsAbs(file) {
			return &keyError{"exclude-from", errors.New(file + ": want an absolute path")}
		}
	}
	if err := rsbtbackup.CheckRsyncArgs(j.Backup.RsyncArgs); err != nil {
		return &keyError{"rsync-args", err}
	}
	policy := j.Prune.Policy
	noRule := policy.IsEmpty() && j.Prune.MinFree == (rsbtbackup.MinFree{})
	explicit := false
	for _, v := range j.Values {
		explicit = explicit || v.Key == "prune" && v.Text == "true"
	}
	switch {
	case j.Backup.Dest != "" && !filepath.IsAbs(j.Backup.Dest):
		return &keyError{"dest", errors.New(j.Backup.Dest + ": want an absolute path; a dest is on this machine")}
	case explicit && noRule:
		return &keyError{"prune", errors.New("it needs a rule such as keep-daily = 7: without one it would delete every backup")}
	case j.Prune.KeepMin > 0 && j.Prune.MinFree == (rsbtbackup.MinFree{}):
		return &keyError{"keep-min", errors.New("it needs min-free")}
	case policy.Validate() != nil && !policy.IsEmpty():
		return &keyError{"keep-last", policy.Validate()}
	}
	h := j.Hooks
	if len(h.BeforeSnapshot)+len(h.AfterSnapshot) > 0 && !j.Backup.SnapshotSource && !j.Backup.SnapshotNested {
		key := "hooks.before-snapshot"
		if len(h.BeforeSnapshot) == 0 {
			key = "hooks.after-snapshot"
		}
		return &keyError{key, errors.New("it needs snapshot-source = true: without a snapshot of the source there is no such moment")}
	}
	return checkTelling(j)
}

// checkJobs checks all jobs together.
func (a *assembler) checkJobs() {
	names, dests := map[string]Job{}, map[string]Job{}
	for _, j := range a.config.Jobs {
		if other, taken := names[j.Name]; taken {
			a.problem(j.Defined, "two jobs are called %s: the other is in %s:%d", j.Name, other.Defined.File, other.Defined.Line)
		}
		names[j.Name] = j
		dest := RealPath(j.Backup.Dest)
		if other, taken := dests[dest]; taken && dest != "" {
			a.problem(j.Defined, "job %s has the same dest as job %s in %s:%d, %s: each needs a directory of its own, or the one would be compared with, and pruned among, the backups of the other",
				j.Name, other.Name, other.Defined.File, other.Defined.Line, dest)
		}
		dests[dest] = j
	}
	a.checkTargets(dests)
}

// RealPath is the directory that a path leads to, so that each DEST has one name. A path that does not exist is not
// changed.
func RealPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// Select returns the jobs with these names, each of a job or of a table, in the order of the config and each once.
func (c *Config) Select(names []string) ([]Job, error) {
	return c.pick(names, "job", func(j Job) []string { return []string{j.Name, j.Table} })
}

// SelectGroup returns the jobs in a group.
func (c *Config) SelectGroup(name string) ([]Job, error) {
	return c.pick([]string{name}, "group", func(j Job) []string { return j.Groups })
}

func (c *Config) pick(names []string, what string, have func(Job) []string) ([]Job, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = false
	}
	var jobs []Job
	var known []string
	for _, j := range c.Jobs {
		picked := false
		for _, name := range have(j) {
			known = append(known, name)
			if _, ok := wanted[name]; ok {
				wanted[name], picked = true, true
			}
		}
		if picked {
			jobs = append(jobs, j)
		}
	}
	for _, name := range names {
		if !wanted[name] {
			return nil, &UnknownError{what, name, nearest(name, known)}
		}
	}
	return jobs, nil
}

// UnknownError is a job or a group that is not in the config, or a group without jobs.
type UnknownError struct {
	What, Name string
	Nearest    string // an existing one with a similar name; or ""
}

func (e *UnknownError) Error() string {
	text := "the config has no " + e.What + " " + e.Name
	if e.Nearest != "" {
		text += "; did you mean " + e.Nearest + "?"
	}
	return text
}
