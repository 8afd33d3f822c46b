// Pairing in linear time.

package diff

import "github.com/rsbtbackup/rsbtbackup/facts"

// queues hold names by key. Each is taken once: by key and name, or by key in order.
type queues struct {
	all   map[any][]*diffLink
	named map[namedKey][]*diffLink
}

type namedKey struct {
	key  any
	name string
}

func newQueues() *queues { return &queues{map[any][]*diffLink{}, map[namedKey][]*diffLink{}} }

func (q *queues) add(key any, name string, l *diffLink) {
	q.all[key] = append(q.all[key], l)
	q.named[namedKey{key, name}] = append(q.named[namedKey{key, name}], l)
}

// next takes the first name that is not done yet, or nil. It drops the names before it.
func next(queue []*diffLink) (*diffLink, []*diffLink) {
	for i, l := range queue {
		if !l.done {
			return l, queue[i+1:]
		}
	}
	return nil, nil
}

func (q *queues) take(key any) *diffLink {
	l, rest := next(q.all[key])
	q.all[key] = rest
	return l
}

func (q *queues) takeNamed(key any, name string) *diffLink {
	l, rest := next(q.named[namedKey{key, name}])
	q.named[namedKey{key, name}] = rest
	return l
}

// pairUp pairs each of come with one of gone that has the same key: preferably one of the same name, otherwise the
// first.
func (d *differ) pairUp(gone *queues, come []*diffLink, describe func(*diffLink) (any, string), sameData bool) error {
	for _, sameName := range []bool{true, false} {
		for _, l := range unmatched(come) {
			key, name := describe(l)
			old := gone.takeNamed(key, name)
			if old == nil && !sameName {
				old = gone.take(key)
			}
			if old == nil {
				continue
			}
			old.done, l.done = true, true
			if err := d.pair(facts.DiffRenamed, old, l, sameData); err != nil {
				return err
			}
		}
	}
	return nil
}
