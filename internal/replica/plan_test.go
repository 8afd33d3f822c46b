package replica

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// items writes a side as words: a backup is a name, with "=x" a copy of x (else of itself), with "!" one that has been
// changed, with "?" one that cannot be copied.
func items(side string) []Item {
	var all []Item
	for word := range strings.FieldsSeq(side) {
		bare := strings.Trim(word, "!?")
		name, origin, ok := strings.Cut(bare, "=")
		if !ok {
			origin = name
		}
		item := Item{Name: name, Origin: uuidOf(origin), Base: !strings.Contains(word, "!")}
		if strings.Contains(word, "?") {
			item.WhyNot = "no"
		}
		all = append(all, item)
	}
	return all
}

func uuidOf(name string) (u btrfs.UUID) {
	copy(u[:], name)
	return u
}

// plan writes steps as words: "a" whole, "b<a" as an increment, "c~d" there as d, "e!" refused.
func plan(steps []Step) string {
	var words []string
	for _, s := range steps {
		word := s.Item.Name
		switch {
		case s.Refuse != "":
			word += "!"
		case s.Had != "":
			word += "~" + s.Had
		case s.Parent != nil:
			word += "<" + s.Parent.Name
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name, from, to, wanted, want string
	}{
		{"nothing", "", "", "", ""},
		{"all anew", "a b c", "", "a b c", "a b<a c<b"},
		{"what is new", "a b c", "a b", "a b c", "a~a b~b c<b"},
		{"all there", "a b", "a b", "a b", "a~a b~b"},
		{"one of them", "a b c", "a", "c", "c<a"},
		{"the nearest before that both have", "a b c d e", "a c", "e", "e<c"},
		{"else the nearest after", "a b c", "c", "a", "a<c"},
		{"both before and after", "a b c", "a c", "b", "b<a"},
		{"older ones are gone here", "c d", "a b c", "d", "d<c"},
		{"there under another name", "a b", "x=a", "a b", "a~x b<a"},
		{"copies of copies", "x=o y=p", "o", "x y", "x~o y<x"},
		{"a name that is taken", "a b", "a=z", "a b", "a! b"},
		{"cannot be copied", "a? b", "", "a b", "a! b"},
		{"cannot be copied, but is there", "a? b", "a", "a b", "a~a b"},
		{"changed over there", "a b", "a!", "b", "b"},
		{"changed here", "a! b", "a", "b", "b"},
		{"changed here and sent whole", "a! b", "", "a b", "a b"},
		{"changed, but there is another copy", "a b", "a! x=a", "b", "b<a"},
		{"two here of one origin", "a b=a c", "", "a b c", "a b~a c<b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wanted := map[string]bool{}
			for name := range strings.FieldsSeq(tt.wanted) {
				wanted[name] = true
			}
			if got := plan(makePlan(items(tt.from), items(tt.to), wanted, nil)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestUnfit: what the kernel cannot send as an increment of one backup is sent as one of another, and then whole.
func TestUnfit(t *testing.T) {
	for _, tt := range []struct {
		unfit []string
		want  string
	}{
		{nil, "d<c"},
		{[]string{"c"}, "d<b"},
		{[]string{"c", "b"}, "d"},
	} {
		from := items("a b c d")
		from[3].Unfit = tt.unfit
		if got := plan(makePlan(from, items("a b c"), map[string]bool{"d": true}, nil)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.unfit, got, tt.want)
		}
	}
}

// TestUnkept: what the rules of the target would delete at once is not sent; what is there, pinned, not asked for or
// cannot be copied anyway counts as such.
func TestUnkept(t *testing.T) {
	day := func(names string, first int) []Item {
		list := items(names)
		for i := range list {
			list[i].Time, list[i].Complete = time.Date(2026, 11, first+i, 9, 0, 0, 0, time.UTC), true
		}
		return list
	}
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name     string
		from, to []Item
		pinned   string
		policy   retention.Policy
		want     string
	}{
		{"no rules", day("a b c", 1), nil, "", retention.Policy{}, ""},
		{"the newest two", day("a b c d", 1), nil, "", retention.Policy{Last: 2}, "a b"},
		{"pinned", day("a b c d", 1), nil, "a", retention.Policy{Last: 2}, "b"},
		{"those that are there count", day("a b", 1), day("x y", 10), "", retention.Policy{Last: 2}, "a b"},
		{"those that are there are no matter", day("a b c", 1), day("a b", 1), "", retention.Policy{Last: 1}, ""},
		{"pruned there before", day("a b c d", 1), day("d", 4), "", retention.Policy{Last: 1}, "a b c"},
		{"cannot be copied", day("a b? c", 1), nil, "", retention.Policy{Last: 2}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wanted := map[string]bool{}
			for i := range tt.from {
				wanted[tt.from[i].Name] = true
				tt.from[i].Pinned = tt.from[i].Name == tt.pinned
			}
			unkept := unkeptBy(tt.policy, tt.from, tt.to, wanted, now)
			if got := strings.Join(slices.Sorted(maps.Keys(unkept)), " "); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if tt.want == "" {
				return
			}
			for _, step := range makePlan(tt.from, tt.to, wanted, unkept) {
				if step.Unkept != unkept[step.Item.Name] || step.Unkept && step.Parent != nil {
					t.Errorf("%+v", step)
				}
				if step.Parent != nil && unkept[step.Parent.Name] {
					t.Errorf("%s builds on %s, which is not sent", step.Item.Name, step.Parent.Name)
				}
			}
		})
	}
}

// TestADryRunFailsAsTheRunWould: it says why a backup would not be copied.
func TestADryRunFailsAsTheRunWould(t *testing.T) {
	mine, theirs := Item{Name: "a", Origin: btrfs.UUID{1}, Base: true}, Item{Name: "a", Origin: btrfs.UUID{2}}
	for _, there := range [][]Item{nil, {mine}, {theirs}} {
		c := &copying{items: []Item{mine}, wanted: map[string]bool{"a": true}, report: &Report{}}
		err := c.foresee(there, retention.Policy{})
		if refused := c.report.Backups[0].Result == ResultRefused; refused != (err != nil) || refused && !strings.Contains(err.Error(), "a: the target has another backup of that name") {
			t.Errorf("%v: %+v, error %v", there, c.report.Backups, err)
		}
	}
}
