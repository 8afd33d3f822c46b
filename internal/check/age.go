package check

import (
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

// ageOf is the age of a backup and a text for it: since its transfer ended, or since a later run found nothing new.
func ageOf(b *facts.Snapshot, now time.Time) (age time.Duration, is string) {
	at := b.Time
	if b.Record != nil && !b.Record.Ended.IsZero() {
		at = b.Record.Ended
	}
	is = "is %s old"
	if b.AsOf().After(at) {
		at, is = b.AsOf(), "was still current %s ago"
	}
	age = now.Sub(at)
	return age, strings.Replace(is, "%s", say.ShortAge(max(age, 0)), 1)
}
