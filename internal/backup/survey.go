// The survey: a forecast for a local source.

package backup

import (
	"context"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// survey warns about a first backup that will not fit, and names what --one-file-system leaves out.
func (x filled) survey(ctx context.Context) (surveyed, error) {
	if !x.src.Local() {
		return surveyed{}, nil
	}
	if !x.full() && !x.o.OneFileSystem {
		var found pending.SparseFiles
		err := found.LookListed(x.work, x.root, x.listed())
		return surveyed{sparse: found.Paths()}, err
	}
	seen, unsure, err := x.seenOnce(ctx)
	if err != nil {
		return surveyed{}, err
	}
	v := seen.Survey
	free, _, err := x.dest.Space()
	if err != nil {
		return surveyed{}, err
	}
	f := source.Forecast{Need: v.Bytes.Load() - seen.SparseFiles.Unwritten(), Have: uint64(x.tree.Bytes.Load()), Free: free, Compressed: x.dest.Compresses()}
	f.Rules = len(x.o.Filter)+len(x.o.Exclude)+len(x.o.ExcludeFrom)+len(x.o.RsyncArgs)+len(x.src.MarkedRules()) > 0
	if text := f.Text(x.src.Shown, x.dest.Path); x.plan.first() && text != "" {
		x.tell.Notice(text)
	}
	if len(v.Mounts) > 0 {
		// The user asked for it, so it is only in the log and the record.
		text := "other filesystems are left out: " + say.QuoteSome(v.Mounts)
		x.tell.Record(text)
		x.tell.Log.Info(text)
	}
	if len(v.Subvolumes) > 0 {
		// A subvolume looks like a directory.
		x.tell.Notice("nested subvolumes are left out: " + say.QuoteSome(v.Subvolumes))
	}
	skipped := slices.Concat(v.Mounts, v.Subvolumes)
	for _, path := range skipped {
		if err := pending.EmptySkipped(ctx, x.work, path); err != nil {
			return surveyed{}, err
		}
	}
	apart, err := x.apart(ctx, &seen.Odd, seen.Many.Beyond())
	if err != nil {
		return surveyed{}, err
	}
	return surveyed{
		dense: !v.Sparse.Load(), entries: v.Entries.Load(), sparse: seen.SparseFiles.Paths(), emptied: skipped, apart: apart, empty: seen.Odd.Empty(), unsure: unsure,
	}, nil
}

// seenOnce is what the scan has seen, or what a walk sees now. The scan has not seen later changes of pending. If there
// was no scan, files that changed under their size and time are found here. unsure: they are too many to be named.
func (x filled) seenOnce(ctx context.Context) (s *pending.Sights, unsure bool, err error) {
	if x.seen != nil && !x.plan.doubtful && !store.KnownDamaged(x.plan.base) {
		for _, name := range x.doubts {
			x.seen.SparseFiles.LookAt(x.work, x.root, name)
		}
		return x.seen, false, nil
	}
	if s, err = x.newSights(x.work, x.seen == nil && x.full(), x.walked != nil); err != nil {
		return nil, false, err
	}
	if err := s.Look(ctx, x.src, x.o.OneFileSystem); err != nil {
		return s, false, err
	}
	doubts, unsure := s.Touched.Paths()
	return s, unsure, pending.Doubt(x.work, doubts)
}

// surveyed is what the survey passes to the transfer; the zero value means no survey.
type surveyed struct {
	dense   bool     // no file has holes
	entries int64    // how many there are, regardless of rules
	apart   []string // names that share an inode number and are not one file
	empty   []string // files of size 0 that have content
	sparse  []string // files with holes that pending lacks, or has with another size or time
	emptied []string // directories on other filesystems, which are empty in the backup
	unsure  bool     // more files than can be named may have changed under their size and time
}
