// Reflink: filling an empty target on the filesystem of DEST with copies that share their blocks with the backup. It
// only saves rsync work: whatever cannot be copied this way is skipped, and rsync copies it or says why it cannot.

package restore

import (
	"context"
	"os"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/reflink"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// reflinkFits reports whether the target can be filled by reflink. Only root can set every owner. Filter rules, and
// owners stored in attributes (--fake-super), are left to rsync, which knows their meaning.
func (x aimed) reflinkFits() bool {
	o := x.o
	if o.NoReflink || o.DryRun || x.target.remote != nil || !x.target.empty || os.Geteuid() != 0 || len(o.Exclude) > 0 || o.Bwlimit != "" || x.stored.FakeSuper {
		return false
	}
	fits, err := reflink.ShareBlocks(x.target.dir, x.view.Root)
	if err != nil {
		x.tell.Log.Debug("no reflink copy", "error", err)
	}
	if fits && store.KnownDamaged(&x.view.Snap) {
		// A reflink copy would be damaged too, and nobody would notice.
		x.tell.Notice(x.view.Snap.Name + " is known to be damaged: it is read completely, to name all damaged files")
		return false
	}
	return fits
}

// reflink copies the paths, or everything. It returns only errors that rsync would have as well.
func (x aimed) reflink(ctx context.Context) (reflink.Result, error) {
	o := reflink.Options{Paths: x.paths, Log: x.tell.Log}
	if x.o.Progress != nil {
		o.Progress = x.reflinkProgress()
	}
	return reflink.Copy(ctx, x.view.Root, x.target.dir, o)
}

// reflinkProgress converts counts to rsync's kind of progress. The total is known only for a whole backup, from its
// record.
func (x aimed) reflinkProgress() func(facts.ReflinkStats) {
	var files, bytes int64
	if rec := x.view.Snap.Record; len(x.paths) == 0 && rec != nil && rec.Stats != nil {
		files, bytes = rec.Stats.Files, rec.Stats.TotalSize
	}
	return func(n facts.ReflinkStats) {
		done := reflink.Entries(n)
		p := rsyncexec.Progress{Bytes: n.Bytes, Transferred: n.Files, Total: max(files, done), ToCheck: max(files-done, 0), Scanning: files == 0}
		if bytes > 0 {
			p.Percent = int(min(100, n.Bytes*100/bytes))
		}
		x.o.Progress(p)
	}
}
