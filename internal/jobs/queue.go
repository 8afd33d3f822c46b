package jobs

import (
	"cmp"
	"slices"
	"time"
)

// task is the information that decides the order of jobs.
type task struct {
	job       int           // its place in the config
	dest      string        // only one job at a time may have it
	host      string        // host that is read from; "" is this machine
	disk      string        // filesystem that is written to; "" is unknown
	length    time.Duration // duration of the last run; 0 is unknown
	notBefore time.Time     // not before this time; zero: at once
}

// limits are how many may run at once; 0 is no limit.
type limits struct{ jobs, perHost, perDisk int }

// next returns which of the waiting tasks to start now, while others run, and, if a task waits for its time, when to
// ask again; otherwise the next end of a running task is soon enough. The longest go first, so that no long one remains
// at the end; an unknown duration may be long. With equal durations the order of the config applies.
func next(waiting, running []task, l limits, now time.Time) (start []task, wake time.Time) {
	order := slices.Clone(waiting)
	slices.SortStableFunc(order, func(a, b task) int {
		return cmp.Or(cmp.Compare(known(a), known(b)), cmp.Compare(b.length, a.length), cmp.Compare(a.job, b.job))
	})
	running = slices.Clone(running)
	for _, t := range order {
		switch {
		case t.notBefore.After(now):
			if wake.IsZero() || t.notBefore.Before(wake) {
				wake = t.notBefore
			}
		case l.allow(t, running):
			start, running = append(start, t), append(running, t)
		}
	}
	return start, wake
}

// known sorts unknown durations to the front.
func known(t task) int {
	if t.length == 0 {
		return 0
	}
	return 1
}

// allow reports whether t may run beside others.
func (l limits) allow(t task, running []task) bool {
	host, disk := 0, 0
	for _, r := range running {
		if r.dest == t.dest {
			return false
		}
		if r.host == t.host {
			host++
		}
		if r.disk == t.disk && t.disk != "" {
			disk++
		}
	}
	return below(len(running), l.jobs) && below(host, l.perHost) && below(disk, l.perDisk)
}

func below(n, limit int) bool { return limit == 0 || n < limit }
