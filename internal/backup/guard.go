// Guards: what a run refuses to do unless forced, decided before anything in DEST is changed.

package backup

import (
	"fmt"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// guardInput is the input of the guards.
type guardInput struct {
	src       *source.Source
	newest    *facts.Snapshot
	baseEmpty bool     // the newest backup is empty
	oneFS     bool     // the run stays on the filesystem of SRC
	leftOut   []string // the paths below SRC that rules exclude explicitly
	force     bool
}

// checkGuards is pure.
func checkGuards(in guardInput) error {
	src, newest := in.src, in.newest
	if err := checkOverlap(in); err != nil {
		return err
	}
	if in.force {
		return nil
	}
	for _, c := range src.Changed {
		if c.Lost() {
			return source.LostMount(c, src.Shown, newest)
		}
	}
	if len(src.Stubs) > 0 {
		return source.LostSubvolume(src.Stubs[0], src.Shown, newest)
	}
	if src.Local() && src.Empty && newest != nil && !in.baseEmpty {
		holds := "is empty"
		if len(src.Views) > 0 {
			holds = "holds nothing but DEST"
		}
		return fail.Kindf(facts.ErrGuard, "%s %s, but the last backup, %s, is not empty: is its disk mounted?", src.Shown, holds, newest.Name)
	}
	return nil
}

// checkOverlap requires an explicit exclude for each path to DEST below SRC: a rule that names it, or a directory above
// it. With force DEST is excluded automatically.
func checkOverlap(in guardInput) error {
	src := in.src
	switch src.Overlap {
	case source.Same:
		return fail.Kind(facts.ErrOverlap, fail.Kindf(facts.ErrGuard, "SRC and DEST are the same directory, %s", src.Shown))
	case source.SrcInside:
		return fail.Kind(facts.ErrOverlap, fail.Kindf(facts.ErrGuard, "SRC %s lies inside DEST", src.Shown))
	}
	inside := &facts.DestInsideError{Source: src.Shown, OtherFilesystem: true}
	for _, v := range src.Views {
		if in.oneFS && !v.SameFS || source.IsLeftOut(v.Rel, in.leftOut) {
			continue
		}
		inside.Paths = append(inside.Paths, v.Rel)
		inside.Exclude = append(inside.Exclude, "/"+source.EscapePattern(v.Rel))
		inside.OtherFilesystem = inside.OtherFilesystem && !v.SameFS
	}
	if len(inside.Paths) > 0 && !in.force {
		return fail.Kind(facts.ErrGuard, inside)
	}
	return nil
}

// maxDeletes converts a percentage of the files in the newest backup to rsync's --max-delete. entries is their number
// if no record has it. ok is false if there are none, or the number is unknown.
func maxDeletes(newest *facts.Snapshot, entries int64, percent int) (n int64, ok bool) {
	if newest == nil || percent == 0 {
		return 0, false
	}
	if newest.Record != nil && newest.Record.Stats != nil {
		entries = newest.Record.Stats.Files
	}
	n = entries * int64(percent) / 100
	if percent < 100 {
		n = min(n, max(entries-2, 0)) // the top directory is never deleted: all others are more than that
	}
	return n, entries > 0
}

// emptied is the guard for sources that could not be examined before: rsync listed only the top directory although the
// last backup has files.
func emptied(src *source.Source, files int64, newest *facts.Snapshot, baseEmpty, force bool) error {
	if force || files > 1 || newest == nil || baseEmpty {
		return nil
	}
	return fail.Kindf(facts.ErrGuard, "%s has nothing to back up, but the last backup, %s, is not empty", src.Shown, newest.Name)
}

// otherSourceDeletes is how many percent of the last backup's files another SRC may lack by default: a source that has
// moved has all of them, one backed up to this DEST by mistake has none.
const otherSourceDeletes = 50

func tooManyDeletes(src *source.Source, newest *facts.Snapshot, percent int) error {
	if other := src.OtherPlace(newest); other != "" {
		return fail.Kindf(facts.ErrGuard, "%s %s than at the last backup, %s, and lacks more than %s of its files: is its disk mounted?", src.Shown, other, newest.Name, fmt.Sprintf("%d %%", percent))
	}
	if src.HasOtherName(newest) {
		return fail.Kindf(facts.ErrGuard, "%s lacks more than %s of the files of the last backup, %s, which was made from %s", src.Shown, fmt.Sprintf("%d %%", percent), newest.Name, newest.Record.SourceName())
	}
	return fail.Kindf(facts.ErrGuard, "%s lost more than %s of its files since the last backup", src.Shown, fmt.Sprintf("%d %%", percent))
}

// isDrop reports whether gone, of the had files in the last backup, are unusually many: most of them, or far more than
// in any of the last backups. A few files do not count.
func isDrop(had, gone int64, backups []facts.Snapshot) bool {
	const (
		few   = 10
		many  = 100
		share = 10 // one in this many files
		times = 10 // times as many as ever before
		last  = 20
	)
	if gone < few {
		return false
	}
	if gone*2 >= had {
		return true
	}
	usual := int64(1)
	for _, b := range backups[max(0, len(backups)-last):] {
		if b.Record != nil && b.Record.Stats != nil {
			usual = max(usual, b.Record.Stats.Deleted)
		}
	}
	return gone >= many && gone*share >= had && gone >= usual*times
}
