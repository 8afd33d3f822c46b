// Reflink: filling an empty target on the filesystem of DEST with copies that
// share their blocks with the backup. It is only ever a head start for rsync:
// whatever it can not do is left out and told, and rsync then does it or says
// why not.

package restore

import (
	"context"
	"os"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/reflink"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// reflinkFits tells whether the target can be filled by reflink. Only root can
// set every owner, a filter is best left to who wrote its rules, and so
// are owners that stand in attributes.
func (r *restore) reflinkFits() bool {
	o := &r.o
	if o.NoReflink || o.DryRun || r.target.remote != nil || !r.target.empty || os.Geteuid() != 0 || len(o.Exclude) > 0 || o.Bwlimit != "" || r.stored.FakeSuper {
		return false
	}
	fits, err := reflink.ShareBlocks(r.target.dir, r.view.Root)
	if err != nil {
		r.log.Debug("no reflink copy", "error", err)
	}
	if fits && store.KnownDamaged(&r.view.Snap) {
		// A copy would be as damaged, and nothing would tell.
		r.notice(r.view.Snap.Name + " is known to be damaged: all of it is read, to name what is lost")
		return false
	}
	return fits
}

// reflink copies the paths, or everything. whole tells that nothing is left
// for rsync. An error is one that rsync would meet as well.
func (r *restore) reflink(ctx context.Context) (whole bool, err error) {
	o := reflink.Options{Paths: r.paths, Log: r.log}
	if r.o.Progress != nil {
		o.Progress = r.reflinkProgress()
	}
	copied, err := reflink.Copy(ctx, r.view.Root, r.target.dir, o)
	if n := copied.Stats; reflink.Entries(n) > 0 {
		r.report.Reflinked = &n
	}
	return !copied.Left, err
}

// reflinkProgress turns counts into rsync's way of telling. How much there is
// to do is known only for a whole backup, from its record.
func (r *restore) reflinkProgress() func(facts.ReflinkStats) {
	var files, bytes int64
	if rec := r.view.Snap.Record; len(r.paths) == 0 && rec != nil && rec.Stats != nil {
		files, bytes = rec.Stats.Files, rec.Stats.TotalSize
	}
	return func(n facts.ReflinkStats) {
		done := reflink.Entries(n)
		p := rsyncexec.Progress{Bytes: n.Bytes, Transferred: n.Files, Total: max(files, done), ToCheck: max(files-done, 0), Scanning: files == 0}
		if bytes > 0 {
			p.Percent = int(min(100, n.Bytes*100/bytes))
		}
		r.o.Progress(p)
	}
}
