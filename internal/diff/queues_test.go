package diff

import (
	"strconv"
	"testing"
)

// In any order, taking all names of a queue moves its beginning and copies nothing: skipped names are not examined
// again.
func TestPairingTakesEachOnce(t *testing.T) {
	const n = 1000
	q := newQueues()
	links := make([]*diffLink, n)
	for i := range links {
		links[i] = &diffLink{path: strconv.Itoa(i)}
		q.add("same", strconv.Itoa(i%10), links[i])
	}
	whole := q.all["same"]
	for i := range n / 2 {
		l := q.takeNamed("same", strconv.Itoa(i%10))
		if l != links[i] {
			t.Fatalf("named: got %s, want %d", l.path, i)
		}
		l.done = true
	}
	for i := n / 2; i < n; i++ {
		l := q.take("same")
		if l != links[i] {
			t.Fatalf("in order: got %s, want %d", l.path, i)
		}
		l.done = true
		if rest := q.all["same"]; len(rest) != n-1-i || len(rest) > 0 && &rest[0] != &whole[i+1] {
			t.Fatalf("after %d: %d left, or they were copied", i, len(rest))
		}
	}
	if q.take("same") != nil || q.takeNamed("same", "0") != nil || q.take("other") != nil {
		t.Error("there is more than was added")
	}
}
