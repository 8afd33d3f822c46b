package retention_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each calendar is listed oldest first, in the order of ids: a time with its offset, then "incomplete" or "pinned"
// where it is so. The golden files were checked by hand against a printed calendar.
var calendars = []struct {
	name    string
	zone    string
	now     string // empty: an hour after the last backup
	policy  retention.Policy
	backups string
}{
	{
		name: "leap-day", zone: "UTC",
		policy: retention.Policy{Daily: 3, Monthly: 3, Yearly: 2},
		backups: `
			2027-02-28T09:00:00Z
			2027-12-31T09:00:00Z
			2028-01-31T09:00:00Z
			2028-02-28T09:00:00Z
			2028-02-29T08:00:00Z
			2028-02-29T09:00:00Z
			2028-03-01T09:00:00Z`,
	},
	{
		name: "leap-day-within-a-year", zone: "UTC",
		policy: retention.Policy{Within: retention.Span{Years: 1}},
		backups: `
			2027-02-28T23:00:00Z
			2027-03-01T00:00:00Z
			2027-03-01T00:01:00Z
			2028-02-29T09:00:00Z`,
	},
	{
		name: "month-end-within-a-month", zone: "Europe/Berlin",
		policy: retention.Policy{Within: retention.Span{Months: 1}},
		backups: `
			2026-02-28T22:00:00+01:00
			2026-03-01T00:00:00+01:00
			2026-03-01T01:00:00+01:00
			2026-03-31T10:00:00+02:00`,
	},
	{
		name: "berlin-spring", zone: "Europe/Berlin",
		policy: retention.Policy{Hourly: 4, WithinDaily: retention.Span{Days: 1}},
		backups: `
			2026-03-28T08:59:00+01:00
			2026-03-28T09:00:00+01:00
			2026-03-28T09:01:00+01:00
			2026-03-28T23:30:00+01:00
			2026-03-29T00:30:00+01:00
			2026-03-29T01:30:00+01:00
			2026-03-29T03:30:00+02:00
			2026-03-29T04:30:00+02:00
			2026-03-29T09:00:00+02:00`,
	},
	{
		name: "berlin-autumn", zone: "Europe/Berlin",
		policy: retention.Policy{Hourly: 3, Daily: 2},
		backups: `
			2026-10-24T23:30:00+02:00
			2026-10-25T01:30:00+02:00
			2026-10-25T02:10:00+02:00
			2026-10-25T02:50:00+02:00
			2026-10-25T02:10:00+01:00
			2026-10-25T02:50:00+01:00
			2026-10-25T03:30:00+01:00`,
	},
	{
		name: "new-york-spring", zone: "America/New_York",
		policy: retention.Policy{Within: retention.Span{Days: 1}, Hourly: 2},
		backups: `
			2026-03-07T08:00:00-05:00
			2026-03-07T09:00:00-05:00
			2026-03-07T09:30:00-05:00
			2026-03-08T01:59:00-05:00
			2026-03-08T03:00:00-04:00
			2026-03-08T09:00:00-04:00`,
	},
	{
		name: "new-york-autumn", zone: "America/New_York",
		policy: retention.Policy{Hourly: 3, Weekly: 2},
		backups: `
			2026-10-25T12:00:00-04:00
			2026-10-31T12:00:00-04:00
			2026-11-01T00:30:00-04:00
			2026-11-01T01:30:00-04:00
			2026-11-01T01:15:00-05:00
			2026-11-01T02:30:00-05:00
			2026-11-02T00:30:00-05:00`,
	},
	{
		name: "iso-week-53", zone: "UTC",
		policy: retention.Policy{Weekly: 3, Yearly: 2},
		backups: `
			2026-12-20T12:00:00Z
			2026-12-27T12:00:00Z
			2026-12-28T12:00:00Z
			2026-12-31T12:00:00Z
			2027-01-01T12:00:00Z
			2027-01-03T12:00:00Z
			2027-01-04T12:00:00Z`,
	},
	{
		name: "the-new-year-in-the-old-weeks", zone: "UTC",
		policy: retention.Policy{Weekly: 2},
		backups: `
			2024-12-28T12:00:00Z
			2024-12-29T12:00:00Z
			2024-12-30T12:00:00Z
			2024-12-31T12:00:00Z
			2025-01-01T12:00:00Z`,
	},
	{
		name: "periods-without-backups-do-not-count", zone: "UTC",
		policy: retention.Policy{Daily: 3},
		backups: `
			2026-01-01T12:00:00Z
			2026-03-01T12:00:00Z
			2026-06-01T10:00:00Z
			2026-06-01T12:00:00Z
			2026-11-01T12:00:00Z`,
	},
	{
		name: "the-oldest-while-counts-are-left", zone: "UTC",
		policy: retention.Policy{Yearly: 3},
		backups: `
			2025-05-01T12:00:00Z
			2025-06-01T12:00:00Z
			2025-07-01T12:00:00Z
			2026-01-01T12:00:00Z`,
	},
	{
		name: "upstream-rotate", zone: "Europe/Berlin", now: "2026-11-23T09:00:00+01:00",
		policy: retention.Policy{Age: retention.Span{Days: 30}},
		backups: `
			2026-09-01T09:00:00+02:00 pinned
			2026-10-23T09:00:00+02:00
			2026-10-24T08:59:59+02:00
			2026-10-24T09:00:00+02:00
			2026-10-24T09:00:01+02:00
			2026-11-22T09:00:00+01:00`,
	},
	{
		name: "upstream-rotate-of-a-forgotten-destination", zone: "UTC", now: "2026-11-23T09:00:00Z",
		policy: retention.Policy{Age: retention.Span{Days: 30}},
		backups: `
			2020-01-01T09:00:00Z
			2020-01-02T09:00:00Z
			2020-01-03T09:00:00Z incomplete`,
	},
	{
		name: "incomplete", zone: "UTC",
		policy: retention.Policy{Last: 2, Daily: 3},
		backups: `
			2026-11-01T09:00:00Z
			2026-11-02T09:00:00Z
			2026-11-03T09:00:00Z
			2026-11-03T10:00:00Z incomplete
			2026-11-04T09:00:00Z
			2026-11-05T09:00:00Z incomplete
			2026-11-06T09:00:00Z incomplete
			2026-11-06T10:00:00Z incomplete
			2026-11-07T09:00:00Z incomplete`,
	},
	{
		name: "never-complete", zone: "UTC",
		policy: retention.Policy{Daily: 2},
		backups: `
			2026-11-01T09:00:00Z incomplete
			2026-11-02T09:00:00Z incomplete
			2026-11-03T09:00:00Z incomplete
			2026-11-03T10:00:00Z incomplete`,
	},
	{
		name: "never-complete-within", zone: "UTC",
		policy: retention.Policy{WithinDaily: retention.Span{Days: 1}},
		backups: `
			2026-11-01T09:00:00Z incomplete
			2026-11-02T09:00:00Z incomplete
			2026-11-02T10:01:00Z incomplete
			2026-11-03T09:00:00Z incomplete
			2026-11-03T10:00:00Z incomplete`,
	},
	{
		name: "incomplete-within", zone: "UTC",
		policy: retention.Policy{Within: retention.Span{Days: 2}},
		backups: `
			2026-11-01T09:00:00Z
			2026-11-02T09:00:00Z
			2026-11-03T08:00:00Z incomplete
			2026-11-03T10:00:00Z incomplete
			2026-11-04T09:00:00Z
			2026-11-05T09:00:00Z incomplete`,
	},
	{
		name: "clock-set-back", zone: "UTC",
		policy: retention.Policy{Last: 1, Daily: 2},
		backups: `
			2026-11-20T09:00:00Z
			2026-11-21T09:00:00Z
			2026-11-22T09:00:00Z
			2026-11-20T10:00:00Z
			2026-11-20T11:00:00Z`,
	},
	{
		name: "from-the-future", zone: "UTC", now: "2026-11-23T09:00:00Z",
		policy: retention.Policy{WithinDaily: retention.Span{Days: 2}},
		backups: `
			2026-11-20T09:00:00Z
			2026-11-21T09:00:01Z
			2036-01-01T09:00:00Z
			2036-01-01T10:00:00Z
			2026-11-22T09:00:00Z
			2026-11-23T08:00:00Z`,
	},
	{
		name: "no-rules", zone: "UTC",
		backups: `
			2026-11-20T09:00:00Z
			2026-11-21T09:00:00Z`,
	},
	{
		name: "all-rules", zone: "Europe/Berlin",
		policy: retention.Policy{
			Last: 1, Hourly: 2, Daily: 2, Weekly: 2, Monthly: 2, Yearly: retention.Unlimited,
			Within: retention.Span{Hours: 2}, WithinMonthly: retention.Span{Years: 1}, Age: retention.Span{Days: 7},
		},
		backups: `
			2024-12-31T09:00:00+01:00
			2025-11-10T09:00:00+01:00
			2025-11-30T09:00:00+01:00
			2026-10-31T09:00:00+01:00
			2026-11-14T09:00:00+01:00
			2026-11-15T09:00:00+01:00
			2026-11-16T09:00:00+01:00
			2026-11-17T09:00:00+01:00
			2026-11-23T08:00:00+01:00
			2026-11-23T09:00:00+01:00`,
	},
}

func TestGolden(t *testing.T) {
	for _, c := range calendars {
		t.Run(c.name, func(t *testing.T) {
			backups := parseCalendar(t, c.zone, c.backups)
			now := backups[len(backups)-1].Time.Add(time.Hour)
			if c.now != "" {
				now = at(t, c.zone, c.now)
			}
			got := table(retention.Apply(backups, c.policy, now))
			path := filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

func parseCalendar(t *testing.T, zone, text string) []retention.Backup {
	t.Helper()
	var backups []retention.Backup
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		stamp, mark, _ := strings.Cut(strings.TrimSpace(line), " ")
		backups = append(backups, retention.Backup{
			Name:     stamp,
			Time:     at(t, zone, stamp),
			ID:       uint64(256 + i),
			Complete: mark != "incomplete",
			Pinned:   mark == "pinned",
		})
	}
	return backups
}

func table(decisions []retention.Decision) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range decisions {
		verdict := "remove"
		if d.Keep {
			verdict = "keep"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", verdict, d.Backup.Time.Format("Mon"), d.Backup.Name, strings.Join(d.Reasons, ", "))
	}
	w.Flush()
	return b.String()
}
