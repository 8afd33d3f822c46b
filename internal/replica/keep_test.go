package replica

import (
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

// TestKeepFlags: the other side is given each rule there is.
func TestKeepFlags(t *testing.T) {
	p := retention.Policy{
		Last: 1, Hourly: 2, Daily: 3, Weekly: 4, Monthly: 5, Yearly: retention.Unlimited,
		Within: retention.Span{Days: 6}, WithinHourly: retention.Span{Hours: 7}, WithinDaily: retention.Span{Days: 8},
		WithinWeekly: retention.Span{Days: 9}, WithinMonthly: retention.Span{Months: 10}, WithinYearly: retention.Span{Years: 11, Months: 1},
	}
	want := "--keep-last=1 --keep-hourly=2 --keep-daily=3 --keep-weekly=4 --keep-monthly=5 --keep-yearly=unlimited --keep-within=6d " +
		"--keep-within-hourly=7h --keep-within-daily=8d --keep-within-weekly=9d --keep-within-monthly=10m --keep-within-yearly=11y1m"
	if got := strings.Join(keepFlags(p), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
