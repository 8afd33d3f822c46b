package backup

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func TestGuards(t *testing.T) {
	disk, root := &facts.SourceIdentity{FSType: 1, FSID: "a"}, &facts.SourceIdentity{FSType: 1, FSID: "b"}
	last := &facts.Snapshot{Name: "2026-11-22-09:00", Record: &facts.Record{Source: "/src", SourceFS: disk}}
	inside := func(views ...source.DestView) source.Source {
		return source.Source{Shown: "/src", Identity: disk, Overlap: source.DestInside, Views: views}
	}
	here, there := source.DestView{Rel: "mnt/b*k", SameFS: true}, source.DestView{Rel: "top/bk"}
	for _, c := range []struct {
		name          string
		in            guardInput
		src           source.Source
		stops, forced bool // without and with force
	}{
		{"nothing unusual", guardInput{newest: last}, source.Source{Shown: "/src", Identity: disk}, false, false},
		{"emptied", guardInput{newest: last}, source.Source{Shown: "/src", Identity: disk, Empty: true}, true, false},
		{"a stub in the place of a subvolume", guardInput{newest: last}, source.Source{Shown: "/src", Identity: disk, Stubs: []string{"nested"}}, true, false},
		{"always was empty", guardInput{newest: last, baseEmpty: true}, source.Source{Shown: "/src", Identity: disk, Empty: true}, false, false},
		{"empty, first backup", guardInput{}, source.Source{Shown: "/src", Identity: disk, Empty: true}, false, false},
		{"on another filesystem: the deletions are counted", guardInput{newest: last}, source.Source{Shown: "/src", Identity: root}, false, false},
		{"another path on another filesystem", guardInput{newest: last}, source.Source{Shown: "/other", Identity: root}, false, false},
		{"source is destination", guardInput{}, source.Source{Shown: "/src", Identity: disk, Overlap: source.Same}, true, true},
		{"source in destination", guardInput{}, source.Source{Shown: "/src", Identity: disk, Overlap: source.SrcInside}, true, true},
		{"destination in source", guardInput{}, inside(here), true, false},
		{"the same, one filesystem, but it is that one", guardInput{oneFS: true}, inside(here), true, false},
		{"the same, and the destination is on another", guardInput{oneFS: true}, inside(there), false, false},
		{"named by a rule", guardInput{leftOut: []string{"x", "mnt/b*k"}}, inside(here), false, false},
		{"a directory above it named", guardInput{leftOut: []string{"mnt"}}, inside(here), false, false},
		{"one beside it named", guardInput{leftOut: []string{"mn", "mnt/b", "mnt/b*k/x"}}, inside(here), true, false},
		{"one of two paths named", guardInput{leftOut: []string{"mnt"}}, inside(here, there), true, false},
		{"one named, the other on another filesystem", guardInput{oneFS: true, leftOut: []string{"mnt"}}, inside(here, there), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for force, stops := range map[bool]bool{false: c.stops, true: c.forced} {
				in := c.in
				in.src, in.force = &c.src, force
				err := checkGuards(in)
				if (err != nil) != stops || stops && !errors.Is(err, facts.ErrGuard) {
					t.Errorf("force %v: %v", force, err)
				}
			}
		})
	}
}

func TestDestInsideError(t *testing.T) {
	src := &source.Source{Shown: "/src", Overlap: source.DestInside, Views: []source.DestView{{Rel: "mnt/b*k", SameFS: true}, {Rel: "top/bk"}}}
	for _, c := range []struct {
		in   guardInput
		want facts.DestInsideError
	}{
		{guardInput{}, facts.DestInsideError{Paths: []string{"mnt/b*k", "top/bk"}, Exclude: []string{`/mnt/b\*k`, "/top/bk"}}},
		{guardInput{oneFS: true}, facts.DestInsideError{Paths: []string{"mnt/b*k"}, Exclude: []string{`/mnt/b\*k`}}},
		{guardInput{leftOut: []string{"mnt"}}, facts.DestInsideError{Paths: []string{"top/bk"}, Exclude: []string{"/top/bk"}, OtherFilesystem: true}},
	} {
		c.in.src, c.want.Source = src, "/src"
		var got *facts.DestInsideError
		if !errors.As(checkGuards(c.in), &got) {
			t.Fatal("no such error")
		}
		if diff := cmp.Diff(c.want, *got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// What is proposed must be taken.
		c.in.leftOut = append(c.in.leftOut, rsyncexec.LeftOut(nil, got.Exclude, nil)...)
		if err := checkGuards(c.in); err != nil {
			t.Errorf("with %q: %v", got.Exclude, err)
		}
	}
}

func TestMaxDeletes(t *testing.T) {
	for _, c := range []struct {
		entries, want int64
		percent       int
	}{
		{1000, 500, 50},
		{3, 1, 50},
		{2, 0, 50}, // of one file none may go
		{1, 0, 50},
		{2, 2, 100},
	} {
		if n, _ := maxDeletes(&facts.Snapshot{}, c.entries, c.percent); n != c.want {
			t.Errorf("%d %% of %d: %d, want %d", c.percent, c.entries, n, c.want)
		}
	}
}

func TestIsDrop(t *testing.T) {
	before := func(deleted ...int64) []facts.Snapshot {
		var list []facts.Snapshot
		for _, n := range deleted {
			list = append(list, facts.Snapshot{Record: &facts.Record{Stats: &rsyncexec.Stats{Deleted: n}}})
		}
		return append(list, facts.Snapshot{})
	}
	for _, c := range []struct {
		name      string
		had, gone int64
		backups   []facts.Snapshot
		want      bool
	}{
		{"nothing", 1000, 0, nil, false},
		{"a small source, emptied", 9, 9, nil, false},
		{"most of it", 596, 501, before(0, 3), true},
		{"most of it, as each time", 100, 60, before(60, 55, 70), true},
		{"a tenth, never before", 1000, 150, before(0, 2, 5), true},
		{"a tenth, as usual", 1000, 150, before(20, 150, 90), false},
		{"a tenth, at the second backup", 1000, 150, before(0), true},
		{"little of it, though more than ever", 100_000, 900, before(1), false},
	} {
		if got := isDrop(c.had, c.gone, c.backups); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestTooManyDeletesSaysOfWhat: the guard has different reasons, and its message says which.
func TestTooManyDeletesSaysOfWhat(t *testing.T) {
	src := &source.Source{Shown: "/src", Identity: &facts.SourceIdentity{FSID: "b"}}
	for want, b := range map[string]*facts.Snapshot{
		"/src is on another filesystem than at the last backup, a, and lacks more than 50 % of its files": {Name: "a", Record: &facts.Record{Source: "/src", SourceFS: &facts.SourceIdentity{FSID: "a"}}},
		"/src lacks more than 50 % of the files of the last backup, a, which was made from /other":        {Name: "a", Record: &facts.Record{Source: "/other"}},
		"/src lost more than 50 % of its files since the last backup":                                     {Name: "a"},
	} {
		if err := tooManyDeletes(src, b, 50); !errors.Is(err, facts.ErrGuard) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
