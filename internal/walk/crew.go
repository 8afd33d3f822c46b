// The goroutines of a walk of any kind.

package walk

import "sync"

// walkers is the number of directories read at a time. A walk is bound by the kernel reading inodes; what it read,
// rsync finds in the cache.
const walkers = 4

// Crew is a few goroutines that share one piece of work.
type Crew struct {
	token chan struct{} // one for each further goroutine
	group sync.WaitGroup
}

// NewCrew has walkers goroutines, the caller's included.
func NewCrew() *Crew { return &Crew{token: make(chan struct{}, walkers-1)} }

// TryGo runs f in an idle goroutine, if there is one.
func (c *Crew) TryGo(f func()) bool {
	select {
	case c.token <- struct{}{}:
		c.group.Go(func() {
			f()
			<-c.token
		})
		return true
	default:
		return false
	}
}

// Do runs f in an idle goroutine or in this one.
func (c *Crew) Do(f func()) {
	if !c.TryGo(f) {
		f()
	}
}

// Wait returns when all of them are done.
func (c *Crew) Wait() { c.group.Wait() }

// FirstError keeps the first of the errors of several goroutines.
type FirstError struct {
	mu  sync.Mutex
	err error
}

// Set keeps err if it is the first.
func (f *FirstError) Set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// Get returns it, or nil.
func (f *FirstError) Get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
