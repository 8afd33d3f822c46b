package replica

import (
	"context"
	"time"
)

// aheadMost is how long what was begun ahead waits to be wanted. The other side may take hours, and meanwhile neither
// of its two backups can be deleted.
const aheadMost = 3 * time.Second

// startAhead begins what will most likely be sent first. Until ssh has connected this host has nothing to do, and the
// kernel needs much of its time to find out what has changed, which fits into the pipe. It returns nil if nothing will
// be sent, and if that cannot be begun: who wants it begins it again, and is told why it cannot be.
func (c *copying) startAhead(ctx context.Context) *stream {
	step := likelyFirst(c.sendable(), c.wanted)
	o, err := c.outgoing(step)
	if err != nil || newCopied(step).Result != "" || c.o.DryRun {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	s, err := o.start(ctx)
	if err != nil {
		stop()
		return nil
	}
	s.late = time.AfterFunc(aheadMost, stop)
	return s
}

// likelyFirst is the first step if the other side has all older backups and lacks only the newest of the wanted ones.
func likelyFirst(from []Item, wanted map[string]bool) Step {
	for i := len(from) - 1; i >= 0; i-- {
		if name := from[i].Name; wanted[name] {
			return makePlan(from, from[:i], map[string]bool{name: true}, nil)[0]
		}
	}
	return Step{Unkept: true} // nothing is sent
}

// takeFor returns the stream if it is the one for this step and has begun, otherwise nil: then it is ended, as soon as
// the kernel has seen that nobody reads it.
func (s *stream) takeFor(step Step) *stream {
	if s == nil {
		return nil
	}
	wanted := s.of.backup.Name == step.Item.Name && s.of.parent.name() == step.Parent.name()
	if wanted && s.late.Stop() && s.firstByte() == nil {
		return s
	}
	_ = s.end(nil) // the one that is begun in its place says what is wrong
	return nil
}

func (i *Item) name() string {
	if i == nil {
		return ""
	}
	return i.Name
}
