package replica

import "context"

// startAhead begins what will most likely be sent first. Until ssh has connected this host has nothing to do, and the
// kernel needs much of its time to find out what has changed, which fits into the pipe. It returns nil if nothing will
// be sent, and if that cannot be begun: who wants it begins it again, and is told why it cannot be.
func (c *copying) startAhead(ctx context.Context) *stream {
	step := likelyFirst(c.sendable(), c.wanted)
	if newCopied(step).Result != "" || c.o.DryRun {
		return nil
	}
	o, err := c.outgoing(step)
	if err != nil {
		return nil
	}
	s, _ := o.start(ctx)
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

// takeFor returns the stream if it is the one for this step, or nil. Otherwise it ends: no backup is kept from being
// deleted for what may not come.
func (s *stream) takeFor(step Step) *stream {
	if s == nil || s.of.backup.Name == step.Item.Name && s.of.parent.name() == step.Parent.name() {
		return s
	}
	_ = s.end(nil) // nobody wanted it
	return nil
}

func (i *Item) name() string {
	if i == nil {
		return ""
	}
	return i.Name
}
