package rename

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewPlan(t *testing.T) {
	all := func(string) bool { return true }
	for name, tt := range map[string]struct {
		moves     []Move
		listed    func(string) bool
		take, put []string
	}{
		"nothing": {listed: all},
		"a swap":  {moves: []Move{{From: "a", To: "b"}, {From: "b", To: "a"}}, listed: all, take: []string{"a", "b"}, put: []string{"b", "a"}},
		"a directory is in what was in it": {
			moves:  []Move{{From: "a", To: "b/a", Dir: true}, {From: "a/b", To: "b", Dir: true}},
			listed: all, take: []string{"a/b", "a"}, put: []string{"b", "b/a"},
		},
		"a chain into new directories": {
			moves:  []Move{{From: "1", To: "n/2"}, {From: "2", To: "n/m/3"}, {From: "x/y/3", To: "1"}},
			listed: all, take: []string{"x/y/3", "1", "2"}, put: []string{"1", "n/2", "n/m/3"},
		},
		"back under the name, in another directory of that name": {
			moves:  []Move{{From: "x", To: "y", Dir: true}, {From: "x/f", To: "x/f"}},
			listed: all, take: []string{"x/f", "x"}, put: []string{"y", "x/f"},
		},
		"into a directory that rsync is not asked about": {
			moves:  []Move{{From: "a", To: "out/a"}, {From: "b", To: "in/b"}},
			listed: func(dir string) bool { return dir == "in" }, take: []string{"b"}, put: []string{"in/b"},
		},
		"twice from one place": {moves: []Move{{From: "a", To: "b"}, {From: "a", To: "c"}, {From: "d", To: "e"}}, listed: all, take: []string{"d"}, put: []string{"e"}},
		"twice to one place":   {moves: []Move{{From: "b", To: "a"}, {From: "c", To: "a"}}, listed: all},
		"the root":             {moves: []Move{{From: ".", To: "a", Dir: true}, {From: "b", To: ".", Dir: true}, {From: "", To: "c"}}, listed: all},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPlan(tt.moves, tt.listed)
			var take, put []string
			for _, m := range p.Take {
				take = append(take, m.From)
			}
			for _, m := range p.Put {
				put = append(put, m.To)
			}
			if diff := cmp.Diff(tt.take, take); diff != "" {
				t.Errorf("taken:\n%s", diff)
			}
			if diff := cmp.Diff(tt.put, put); diff != "" {
				t.Errorf("put:\n%s", diff)
			}
		})
	}
}
