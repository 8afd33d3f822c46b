// Backup names: local time to the minute, then to the second, then numbered.

package store

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

const (
	nameMinute = "2006-01-02-15:04"
	nameSecond = "2006-01-02-15:04:05" // upstream's names, always valid to read
)

// parseName reports whether a backup can have that name, and returns the time in it, in loc. A time that a clock change
// skips is read as time.ParseInLocation does.
func parseName(name string, loc *time.Location) (time.Time, bool) {
	moment, number, ok := splitName(name)
	if !ok || number != "" && len(moment) == len(nameMinute) {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation(nameSecond[:len(moment)], moment, loc)
	return t, err == nil
}

// NamedByUs reports whether a backup has a name that its predecessors never made: their names have seconds.
func NamedByUs(name string) bool {
	moment, number, ok := splitName(name)
	return ok && (len(moment) == len(nameMinute) || number != "")
}

// splitName splits a name into its moment, to the minute or to the second, and its number, if it has one. list calls it
// for each name in DEST.
func splitName(name string) (moment, number string, ok bool) {
	moment, number, numbered := strings.Cut(name, ".")
	n, _ := strconv.Atoi(number)
	ok = (len(moment) == len(nameMinute) || len(moment) == len(nameSecond)) && (!numbered || n > 0 && n < 1e9 && strconv.Itoa(n) == number)
	for i := 0; ok && i < len(moment); i++ {
		ok = moment[i] == nameSecond[i] || min(moment[i], nameSecond[i]) >= '0' && max(moment[i], nameSecond[i]) <= '9'
	}
	return moment, number, ok
}

// candidateName returns the n-th name to try for a backup started at t.
func candidateName(t time.Time, n int) string {
	switch n {
	case 0:
		return t.Format(nameMinute)
	case 1:
		return t.Format(nameSecond)
	}
	return t.Format(nameSecond) + "." + strconv.Itoa(n-1)
}

// freeName returns the first candidate that taken does not have, starting at the n-th, and its number.
func freeName(t time.Time, n int, taken map[string]bool) (string, int) {
	for ; ; n++ {
		if name := candidateName(t, n); !taken[name] {
			return name, n
		}
	}
}

// Naming is the name of a new backup, and what is needed to find the next one.
type Naming struct {
	Name    string
	started time.Time
	try     int
	taken   map[string]bool
}

// NewNaming takes the first free name for a backup started at t.
func (st *State) NewNaming(t time.Time) Naming {
	n := Naming{started: t, taken: map[string]bool{}}
	for _, name := range slices.Concat(BackupNames(st.Backups), BackupNames(st.Broken), st.Hidden) {
		// The new name must also not sort before those of the same minute or second.
		for end := len(name); end > 0; end = strings.LastIndexAny(name[:end], ":.") {
			n.taken[name[:end]] = true
		}
	}
	for _, name := range st.Foreign {
		n.taken[name] = true
	}
	n.Name, n.try = freeName(t, 0, n.taken)
	return n
}

// Next returns the next name, if this one was taken between planning and publishing.
func (n Naming) Next() Naming {
	n.Name, n.try = freeName(n.started, n.try+1, n.taken)
	return n
}

// Find resolves a reference to a backup: a full name, a unique prefix, "latest" or "latest~N" (the N-th before the
// newest). backups are in order, oldest first. A complete name is never read as a prefix of another, even if its own
// backup was deleted.
func Find(backups []facts.Snapshot, ref string) (facts.Snapshot, error) {
	if ref == "latest" || strings.HasPrefix(ref, "latest~") {
		return findLatest(backups, ref)
	}
	var matches []facts.Snapshot
	for _, b := range backups {
		if b.Name == ref {
			return b, nil
		}
		if ref != "" && strings.HasPrefix(b.Name, ref) {
			matches = append(matches, b)
		}
	}
	switch len(matches) {
	case 0:
		return facts.Snapshot{}, fail.Kindf(facts.ErrNoBackup, "no backup is called %q", ref)
	case 1:
		if _, whole := parseName(ref, time.UTC); whole {
			return facts.Snapshot{}, fail.Kindf(facts.ErrNoBackup, "no backup is called %q; %s is another", ref, matches[0].Name)
		}
		return matches[0], nil
	}
	return facts.Snapshot{}, fail.Kindf(facts.ErrAmbiguous, "%q could be any of %d backups, %s to %s", ref, len(matches), matches[0].Name, matches[len(matches)-1].Name)
}

func inAll(backups int) string {
	if backups == 0 {
		return "no backups yet"
	}
	return say.Plural(backups, "backup") + " in all"
}

func findLatest(backups []facts.Snapshot, ref string) (facts.Snapshot, error) {
	back := 0
	if n, ok := strings.CutPrefix(ref, "latest~"); ok {
		var err error
		if back, err = strconv.Atoi(n); err != nil || back < 0 || n[0] == '+' {
			return facts.Snapshot{}, fail.Kindf(facts.ErrNoBackup, "%q: want latest~N with N a number from 0", ref)
		}
	}
	if back >= len(backups) {
		return facts.Snapshot{}, fail.Kindf(facts.ErrNoBackup, "%q is not there: %s", ref, inAll(len(backups)))
	}
	return backups[len(backups)-1-back], nil
}
