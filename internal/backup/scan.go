// Finding out what changed, before rsync runs, and keeping the catalog for the next run; see package scan.

package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/blocks"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/scan"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
)

// scanned is what a run knows about its source before rsync runs.
type scanned struct {
	use    bool   // rsync gets list; otherwise everything is compared
	why    string // it is
	list   scan.List
	expect *scan.List      // what a walk would have listed in a full run that checks it
	doubts []string        // files that rsync must compare by content
	unsure bool            // it must compare all of them so
	walked *scan.Result    // nil: there was no walk
	root   *os.File        // of the source, if there was a walk
	file   *os.File        // the new catalog
	old    *os.File        // that of the last backup, where there is one
	seen   *pending.Sights // seen by the walk; nil: not collected
	moved  int             // how many files were moved in pending
	large  *blocks.Files
	// patched is what was brought up to date in pending.
	patched blocks.Copied
}

func (s scanned) full() bool { return !s.use }

// asked is the list for rsync, if not everything is compared.
func (s scanned) asked() *scan.List {
	if s.full() {
		return nil
	}
	return &s.list
}

// listed is the same for package pending.
func (s scanned) listed() pending.Listed {
	return pending.Listed{Dirs: append(s.list.Dirs[:len(s.list.Dirs):len(s.list.Dirs)], s.list.Fresh...), Names: s.list.Names}
}

// scan walks the source, where that is useful. If it fails, the run is a full one; that is no error. work waits for
// pending.
func (x equipped) scan(ctx context.Context, work func() (*os.File, error)) (scanned, error) {
	p := planScan(x.o, x.plan, x.src)
	if !p.walk {
		return scanned{why: p.why}, nil
	}
	s, err := x.walk(ctx, p, work)
	if err == nil {
		x.tell.Log.Info("scanned", "mode", s.facts().Mode, "why", s.why, "looked", s.walked.List.Looked, "listed", s.list.Listed, "took", s.walked.Took)
		return s, nil
	}
	err = errors.Join(err, s.close(), x.dest.DropCatalog())
	if ctx.Err() != nil {
		return scanned{}, err
	}
	x.tell.Log.Info("the source cannot be scanned: everything is compared", "why", err)
	return scanned{why: err.Error(), unsure: x.plan.afterCut()}, nil
}

// walk walks, compares with the catalog of the last backup, and makes the list for rsync.
func (x equipped) walk(ctx context.Context, p scanPlan, work func() (*os.File, error)) (s scanned, err error) {
	s.why = p.why
	if s.root, err = os.OpenFile(x.src.Spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
		return s, err
	}
	if s.file, err = x.dest.NewCatalog(); err != nil {
		return s, err
	}
	rules, err := x.scanRules()
	if err != nil {
		return s, err
	}
	var known *catalog.Reader
	if s.old, known, err = x.catalog(rules); err != nil {
		s.why = cmp.Or(s.why, err.Error())
		p.use, p.odd = false, p.odd || errors.Is(err, catalog.ErrRules)
	}
	newer, err := scan.NewGenerations(s.root, x.plan.seen().Generations)
	if err != nil {
		x.tell.Log.Info("btrfs cannot list what has changed", "why", err)
	}
	// known is of a run that was cut, or of an incomplete backup: files that it copied, or not, may be others.
	unproven := x.plan.afterCut() || x.plan.work == store.WorkSnapshot && x.plan.base.Status != facts.Complete
	walk := func(known *catalog.Reader) {
		suspect := unproven && known != nil
		if s.seen, err = x.sights(p, work, !suspect, known != nil); err != nil {
			return
		}
		o := x.scanOptions(p, newer, s.seen)
		if suspect {
			o.Suspect, o.Cut = s.seen.Suspect(s.root), x.plan.afterCut()
		}
		if s.large = blocks.New(newer, known, x.plan.work == store.WorkCreate); s.large != nil {
			o.Tell = s.large.Meet
		}
		s.walked, err = scan.Walk(ctx, s.root, s.file, x.src.Shown, rules, o, known)
	}
	walk(known)
	if errors.Is(err, catalog.ErrUnusable) {
		s.why = cmp.Or(s.why, err.Error())
		known, p.use = nil, false
		walk(nil)
	}
	if s.seen != nil {
		s.doubts, s.unsure = s.seen.Touched.Paths()
		err = cmp.Or(err, s.seen.Unmarked)
	}
	switch {
	case err != nil || known == nil:
		return s, err
	case !unproven: // otherwise they are marked
		s.doubts, s.unsure = append(s.doubts, s.walked.List.Doubtful...), s.unsure || s.walked.List.AllDoubtful()
	}
	if s.why = cmp.Or(s.why, s.walked.Unread); p.odd || unproven || s.walked.Unread != "" {
		s.walked.Moves = nil
		return s, nil
	}
	return x.choose(ctx, s, work)
}

func (x equipped) scanOptions(p scanPlan, newer *scan.Generations, seen *pending.Sights) scan.Options {
	o := scan.Options{
		OneFileSystem: x.o.OneFileSystem, Skip: x.src.Protected(x.o.OneFileSystem), AsOf: x.frozen.At(), Origins: x.frozen.Origins(),
		Generations: newer, Trust: p.use && p.ask && newer.Tell(),
	}
	if seen != nil {
		o.See, o.SeeDir = seen.See, seen.SeeDir
	}
	return o
}

// sights are not needed where rsync gets a list, but for what --one-file-system leaves out.
func (x equipped) sights(p scanPlan, work func() (*os.File, error), touched, known bool) (*pending.Sights, error) {
	if p.use && !x.o.OneFileSystem {
		return nil, nil
	}
	into, err := work()
	if err != nil {
		return nil, err
	}
	return x.newSights(into, touched && !p.use, known)
}

// newSights collects files that were touched only on request: where rsync gets a list, or files are suspected, a
// catalog has better information, and a doubtful file that is not listed would keep a wrong time. If the catalog is
// lost, or the run resumes without one, what moved is not known. Sources that never have one would be read again each
// night.
func (x equipped) newSights(work *os.File, touched, known bool) (*pending.Sights, error) {
	if !touched {
		return pending.NewSights(work, nil), nil
	}
	resumed := x.plan.work == store.WorkResume
	last := x.plan.lastScan()
	lost := !known && last != nil && last.Catalog != "" && x.plan.base.Status == facts.Complete
	below := (lost || resumed) && !x.plan.checksum && !x.src.ShownByOthers()
	t, err := pending.NewTouched(work, resumed, x.plan.base, below)
	return pending.NewSights(work, t), err
}

// scanRules is everything that decides which files of the source are in a backup, including the content of files of
// rules and the version of rsync.
func (x equipped) scanRules() ([]string, error) {
	rules := append(x.o.rules(), "rsync "+x.version.String())
	for _, path := range x.src.Protected(x.o.OneFileSystem) {
		rules = append(rules, "DEST "+path)
	}
	rules = append(rules, x.src.MarkedRules()...)
	sums, err := x.o.reading().Sums()
	return append(rules, sums...), err
}

// catalog opens the one that pending was made ready for, or that of the last backup. An error is one of
// catalog.ReadKnown.
func (x equipped) catalog(rules []string) (*os.File, *catalog.Reader, error) {
	seen, open := x.plan.seen().Catalog, x.dest.OpenCatalog
	if seen == "" {
		return nil, nil, errors.New("the last backup has no catalog of the source")
	}
	if x.plan.afterCut() {
		open = x.dest.OpenWorkCatalog
	}
	f, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.New("the catalog is missing")
	}
	if err != nil {
		return nil, nil, err
	}
	known, err := catalog.ReadKnown(f, seen, x.src.Shown, rules)
	return f, known, err
}

// choose decides what to do with the result of a walk.
func (x equipped) choose(ctx context.Context, s scanned, work func() (*os.File, error)) (scanned, error) {
	found := s.walked.List
	if s.unsure {
		s.why = cmp.Or(s.why, "more files are doubtful than a walk can keep: contents are compared")
	}
	if s.walked.TooLong != "" {
		s.why = cmp.Or(s.why, s.walked.TooLong)
		return s, nil
	}
	list, err := x.restrict(ctx, found, work)
	if err != nil {
		return s, err
	}
	if s.why != "" {
		s.expect = &list
		return s, nil
	}
	s.use, s.list = true, list
	return s, nil
}

// restrict removes excluded paths from a list: old directories that the last backup lacks, and new ones that rsync
// would not copy.
func (x equipped) restrict(ctx context.Context, l scan.List, work func() (*os.File, error)) (scan.List, error) {
	included := func(string) bool { return true }
	rules := len(x.o.Exclude)+len(x.o.ExcludeFrom)+len(x.src.MarkedRules()) > 0
	if rules && len(l.Fresh) > 0 {
		dirs, err := x.included(ctx, l)
		if err != nil {
			return l, err
		}
		included = func(dir string) bool { return dirs[dir] }
	}
	into, err := work()
	if err != nil {
		return l, err
	}
	return l.Restrict(func(dir string) (bool, error) {
		d, err := at.OpenBeneath(into, dir)
		switch {
		case at.IsNoDir(err) && rules:
			return false, nil
		case at.IsNoDir(err):
			return false, fmt.Errorf("the last backup lacks %q", dir)
		case err != nil:
			return false, err
		}
		return true, d.Close()
	}, included)
}

// included asks rsync which of the new directories it would copy.
func (x equipped) included(ctx context.Context, l scan.List) (map[string]bool, error) {
	opts := rsyncOptions(x.o, x.plan, x.src, 0)
	opts.Program, opts.Version = x.program, x.version
	opts.ExtraFiles = []*os.File{x.dest.Dir}
	opts.Dest = filepath.Join(source.Inherited, x.plan.naming.Name) // a free name
	return transfer.Included(ctx, opts, scan.List{Fresh: l.Tops()}.Render())
}

// facts is the part of a scan that is kept.
func (s scanned) facts() *facts.Scan {
	f := &facts.Scan{Mode: facts.ScanWalk, Why: s.why}
	switch {
	case s.full():
		f.Mode = facts.ScanFull
	case s.walked.ByGeneration:
		f.Mode = facts.ScanGeneration
	}
	f.Renamed, f.Patched, f.PatchedSize, f.PatchedRead = s.moved, int(s.patched.Files), s.patched.Size, s.patched.Read
	if s.walked != nil {
		f.Looked, f.Seconds = s.walked.List.Looked, s.walked.Took.Seconds()
	}
	if !s.full() {
		f.Listed = s.list.Listed
	}
	return f
}

// close closes the files; the catalog file is left to DropCatalog.
func (s scanned) close() error {
	var err error
	for _, f := range []*os.File{s.root, s.file, s.old} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
