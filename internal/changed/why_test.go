package changed

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestWhy(t *testing.T) {
	base := func(change func(b *facts.Snapshot)) *facts.Snapshot {
		b := &facts.Snapshot{ReadOnly: true, Status: facts.Complete, Record: &facts.Record{Rules: []string{"--exclude=a"}, LeftOut: []string{"proc"}}}
		change(b)
		return b
	}
	same := func() Run {
		return Run{Base: base(func(*facts.Snapshot) {}), Status: facts.Complete, Clean: true, Rules: []string{"--exclude=a"}, LeftOut: []string{"proc"}}
	}
	if why := Why(same()); why != "" {
		t.Errorf("nothing has changed: %s", why)
	}
	for name, change := range map[string]func(r *Run){
		"first":           func(r *Run) { r.Base = nil },
		"resumed":         func(r *Run) { r.Resumed = true },
		"exit 23":         func(r *Run) { r.Status = facts.Incomplete },
		"nothing known":   func(r *Run) { r.Status = "" },
		"exit 24":         func(r *Run) { r.Clean = false },
		"sent":            func(r *Run) { r.Literal = 1 },
		"deleted":         func(r *Run) { r.Deleted = 1 },
		"no record":       func(r *Run) { r.Base = base(func(b *facts.Snapshot) { b.Record = nil }) },
		"lost record":     func(r *Run) { r.Base = base(func(b *facts.Snapshot) { b.RecordError = "torn" }) },
		"incomplete base": func(r *Run) { r.Base = base(func(b *facts.Snapshot) { b.Status = facts.Incomplete }) },
		"damaged base": func(r *Run) {
			r.Base = base(func(b *facts.Snapshot) { b.Record.Verified = &facts.Verification{Result: facts.Damaged} })
		},
		"touched base":  func(r *Run) { r.Base = base(func(b *facts.Snapshot) { b.Touched = true }) },
		"writable base": func(r *Run) { r.Base = base(func(b *facts.Snapshot) { b.ReadOnly = false }) },
		"doubt":         func(r *Run) { r.Doubt = true },
		"other source":  func(r *Run) { r.OtherSource = true },
		"fewer rules":   func(r *Run) { r.Rules = nil },
		"other rules":   func(r *Run) { r.Rules = []string{"--exclude=b"} },
		"left out":      func(r *Run) { r.LeftOut = nil },
	} {
		r := same()
		change(&r)
		if Why(r) == "" {
			t.Errorf("%s: it would be skipped", name)
		}
	}
}
