// After the transfer: what the next run needs to know about the source.

package backup

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// known is what a run passes to the next one.
type known struct {
	usable  bool   // of what the backup has with the size and time in the catalog, it has the content, except for what is unsettled
	catalog string // its checksum
	missed  int    // changes that rsync found and the walk did not
	// measured is what pending added when all was written.
	measured pending.Measured
}

// meanwhile is what is done while rsync's processes end, after it has written everything: the source is examined again,
// then pending is flushed. If rsync runs again, or its message was a name that looks like it, the last time counts.
type meanwhile struct {
	group sync.WaitGroup
	began time.Time
	full  bool // what was asked then
	known known
}

// begin is called when rsync says that it has written everything.
func (m *meanwhile) begin(x filled) {
	m.group.Wait()
	m.began, m.full = time.Now(), x.full()
	m.group.Add(1)
	x.dest.FlushAhead(func(flush func()) {
		defer m.group.Done()
		if x.walked != nil {
			m.known = x.endCatalog()
			flush()
			m.known.measured = pending.Measure(x.work, x.plan.since())
		}
	})
}

// lookAgain examines the source again, after rsync has read it, and ends the catalog, so that what flushes pending
// flushes the catalog too. If there is no space for it, the next run compares everything.
func (x filled) lookAgain(m *meanwhile, end transfer.End, changes []rsyncexec.Change) known {
	if x.walked == nil {
		return known{}
	}
	if !x.full() && x.list.Empty() {
		return known{usable: true, catalog: x.plan.base.Record.Scan.Catalog, missed: len(x.walked.Missed)} // it is still valid
	}
	m.group.Wait()
	found := m.known
	if !m.began.After(end.Result.Started) || m.full != x.full() {
		found = x.endCatalog()
	}
	if end.Err == nil || end.Vanished() {
		found.missed = x.missed(changes)
	}
	return found
}

// endCatalog is what the next run needs, apart from what was missed.
func (x filled) endCatalog() known {
	unsettled, err := x.walked.Settle(x.scanned.root, x.asked())
	if err != nil {
		x.tell.Log.Warn("the next run compares everything: which files changed during this one is not known", "error", err)
		return known{}
	}
	sum, err := x.walked.Finish(unsettled, x.large.Settle(x.scanned.root, x.tell.Log))
	if err != nil {
		x.warnOfCatalog(err)
	}
	return known{usable: err == nil, catalog: hex.EncodeToString(sum)}
}

func (x filled) warnOfCatalog(err error) {
	x.tell.Log.Warn("the next run compares everything: the catalog of the source could not be stored", "error", err)
}

// missed counts the changes that a full run found and a scan would not have listed. Changes after the walk do not
// count, nor those that only undo the preparation of pending.
func (x filled) missed(changes []rsyncexec.Change) (n int) {
	for _, dir := range x.walked.Missed {
		x.tell.Log.Error("btrfs did not report a change, please report it", "directory", dir)
	}
	n = len(x.walked.Missed)
	if x.expect == nil {
		return n
	}
	covers, madeFor := x.scanned.expect.Covers(), pending.MadeFor(x.doubts, x.plan.work == store.WorkResume)
	for _, c := range changes {
		path, deleted := strings.TrimSuffix(c.Path, "/"), strings.HasPrefix(c.Code, "*deleting")
		if !covers(path, deleted) && !madeFor(c) && x.walked.ChangedBefore(x.scanned.root, path, deleted) {
			n++
			x.tell.Log.Error("the scan missed a change, please report it", "path", path, "change", c.Code)
		}
	}
	return n
}

// wholeStats is the end with the totals of the whole backup, which judge needs.
func (x filled) wholeStats(ctx context.Context, end transfer.End, emptied []string) (transfer.End, error) {
	if end.Stats == nil {
		return end, nil
	}
	sum, err := x.totals(ctx, end.Stats, emptied)
	if err != nil {
		return end, fail.Step("count files", err)
	}
	end.Stats, end.Result.Stats = sum, *sum
	return end, nil
}

// totals are those of the whole backup, of which rsync has seen only a part. emptied are directories that rsync leaves
// out and that were emptied.
func (x filled) totals(ctx context.Context, stats *rsyncexec.Stats, emptied []string) (*rsyncexec.Stats, error) {
	sum := *x.plan.base.Record.Stats
	sum.Created, sum.Deleted, sum.Transferred, sum.TransferredSize = stats.Created, stats.Deleted, stats.Transferred, stats.TransferredSize
	sum.Literal, sum.Matched, sum.Sent, sum.Received = stats.Literal, stats.Matched, stats.Sent, stats.Received
	base, err := at.OpenDir(x.dest.Dir, x.plan.baseName())
	if err != nil {
		return nil, err
	}
	defer base.Close()
	l := x.listed()
	l.Dirs = append(l.Dirs, emptied...)
	had := &x.tree.Names
	if x.patched.Files > 0 {
		had = nil // some of them were brought up to date before they were looked at
	}
	w, err := pending.Growth(ctx, base, x.work, l, had)
	if err != nil {
		return nil, err
	}
	w.AddTo(&sum)
	return &sum, nil
}

// keep makes the catalog durable and returns the scan for the record.
func (x judged) keep() *facts.Scan {
	f := x.scanned.facts()
	f.Missed = x.known.missed
	if x.plan.first() || x.scanned.full() {
		f.LastFull = x.o.Now.UTC()
	} else {
		f.LastFull, f.SinceFull = x.plan.base.Record.Scan.LastFull, x.plan.base.Record.Scan.SinceFull+1
	}
	// While contents are compared, what cannot be read keeps its time.
	if !x.known.usable || x.verdict.status != facts.Complete && (x.unsure || x.plan.checksum) {
		return f
	}
	if x.scanned.full() || !x.scanned.list.Empty() {
		if err := x.dest.KeepCatalog(x.scanned.file); err != nil {
			x.warnOfCatalog(err)
			return f
		}
	}
	f.Catalog, f.Generations = x.known.catalog, x.scanned.walked.Generations
	return f
}

// nothingToDo is the end of a transfer that was not needed.
func (x filled) nothingToDo() transfer.End {
	stats := rsyncexec.Stats{Files: x.plan.base.Record.Stats.Files}
	return transfer.End{Result: rsyncexec.Result{Version: x.version, Stats: stats, HaveStats: true}, Stats: &stats, Connected: true}
}
