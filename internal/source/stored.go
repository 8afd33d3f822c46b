package source

import (
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// StoredAs says how b stores owners, modes and other attributes, from the recorded options.
func StoredAs(b facts.Snapshot) rsyncexec.Stored {
	if b.Record == nil {
		return rsyncexec.Stored{}
	}
	spec, err := rsyncexec.ParseSource(b.Record.SourceName())
	return rsyncexec.ParseStored(RsyncRules(b.Record.Rules), err != nil || spec.Kind == rsyncexec.Local)
}

// RsyncRules are those of the recorded rules that are options of rsync.
func RsyncRules(rules []string) []string {
	return slices.DeleteFunc(slices.Clone(rules), IsMark)
}
