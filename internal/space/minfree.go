package space

import (
	"github.com/dustin/go-humanize"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

func IsZero(m facts.MinFree) bool { return m == facts.MinFree{} }

// Possible refuses an amount that no deletion could reach.
func Possible(m facts.MinFree, total uint64) error {
	if m.Bytes > 0 && uint64(m.Bytes) > total {
		return fail.Kindf(facts.ErrUsage, "--min-free: %v is more than the filesystem has, %s", m, humanize.Bytes(total))
	}
	return nil
}

// Reached is pure.
func Reached(m facts.MinFree, free, total uint64) bool {
	return free >= uint64(m.Bytes) && float64(free) >= float64(total)*m.Percent/100
}
