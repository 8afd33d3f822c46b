package changed

import (
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Run is what is known about a run after rsync has ended, or had nothing to do.
type Run struct {
	Base        *facts.Snapshot // what pending was made from, the newest backup that can be read; nil for a first backup
	Resumed     bool            // pending holds the work of an earlier run
	Status      facts.Status    // of the backup to be published
	Clean       bool            // rsync ended with 0, or did not have to run
	Literal     int64           // bytes of file data that rsync sent
	Deleted     int64           // files that it deleted
	OtherSource bool            // the base was made from something else, or other mounts are below the source
	Rules       []string        // as in the record
	LeftOut     []string        // the same
	Doubt       bool            // the newest backup is not known for certain, or a newer one is damaged
}

// Why says why a backup must be published although it may hold nothing new; empty if there is no reason yet.
func Why(r Run) string {
	b := r.Base
	switch {
	case b == nil:
		return "it is the first backup"
	case r.Resumed:
		return "it goes on with an unfinished backup"
	case r.Status != facts.Complete, !r.Clean:
		return "not all of the source was read"
	case r.Literal > 0:
		return "rsync has sent data"
	case r.Deleted > 0:
		return "rsync has deleted files"
	case b.Record == nil || b.RecordError != "":
		return "the last backup has no record"
	case b.Status != facts.Complete:
		return "the last backup is incomplete"
	case store.KnownDamaged(b):
		return "the last backup is damaged"
	case b.Touched || !b.ReadOnly:
		return "the last backup was changed after it was made"
	case r.Doubt:
		return "it is not certain which backup is the last one"
	case r.OtherSource:
		return "the last backup was made from another source"
	case !slices.Equal(b.Record.Rules, r.Rules):
		return "the last backup was made with other rules"
	case !slices.Equal(b.Record.LeftOut, r.LeftOut):
		return "the last backup leaves out other filesystems"
	}
	return ""
}
