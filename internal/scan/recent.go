package scan

import "github.com/rsbtbackup/rsbtbackup/internal/catalog"

const (
	// racy is how many seconds before a walk a change must be to be told from one after it, if times are whole.
	racy = 2
	// tick is the same, in nanoseconds, if times have fractions: longer than a tick of the clock that they are from.
	tick = 100_000_000
)

// isRacy reports whether an entry changed so shortly before the last walk that a later change may have the same ctime.
func (c *comparer) isRacy(old catalog.Entry) bool {
	return c.isRecent(old.Change) && (!isTrusted(old.FS) || c.isWithinTick(old.Change))
}

// isRecent is the same for every clock, also one of whole seconds.
func (c *comparer) isRecent(t catalog.Time) bool {
	started := c.known.Header.Started
	return !t.Before(catalog.Time{Sec: started.Sec - c.racy, Nsec: started.Nsec})
}

// isWithinTick reports whether a recent time is from a clock of whole seconds, or within a tick of the last walk.
func (c *comparer) isWithinTick(t catalog.Time) bool {
	return t.Nsec == 0 || !t.Before(c.known.Header.Started.Minus(tick))
}
