// Decisions about repairs. Pure.

package store

import (
	"fmt"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// curRepair is how to repair cur.
type curRepair struct {
	clear bool   // remove the existing entry first
	to    string // the backup to name; empty for none
	text  string // what was done, for the log
}

// planCur decides how to repair cur, which must name the newest complete backup; ok is false if there is nothing to do.
// If it is not known which backup that is, cur is not changed. It is pure.
func planCur(st *State) (r curRepair, ok bool) {
	newest := st.NewestComplete()
	if st.guessing() || st.CurHidden() || st.Doubt != "" && st.current() != nil {
		return curRepair{}, false
	}
	switch {
	case newest == nil && st.Cur == Absent, newest != nil && newest.Current:
		return curRepair{}, false
	case newest == nil:
		return curRepair{clear: true, text: fmt.Sprintf("%s was a %s although there is no complete backup", CurName, st.Cur)}, true
	case st.Cur == Symlink:
		return curRepair{to: newest.Name, text: fmt.Sprintf("%s pointed to %q, now to %s", CurName, st.CurLink, newest.Name)}, true
	}
	return curRepair{clear: st.Cur != Absent, to: newest.Name, text: fmt.Sprintf("%s was %s, now it names %s", CurName, st.Cur, newest.Name)}, true
}

// current returns the complete backup that cur names, or nil.
func (st *State) current() *facts.Snapshot {
	i := slices.IndexFunc(st.Backups, func(b facts.Snapshot) bool { return b.Current && b.Status == facts.Complete })
	if i < 0 {
		return nil
	}
	return &st.Backups[i]
}
