package retention_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		policy retention.Policy
		cause  string
	}{
		{retention.Policy{}, ""},
		{retention.Policy{Last: 3, Yearly: retention.Unlimited}, ""},
		{retention.Policy{Last: -2}, "last"},
		{retention.Policy{Weekly: -5}, "weekly"},
		{retention.Policy{Within: retention.Span{Days: -1}}, "within"},
		{retention.Policy{WithinYearly: retention.Span{Hours: -1}}, "within-yearly"},
		{retention.Policy{Age: retention.Span{Years: 1 << 30}}, "age"},
	} {
		err := test.policy.Validate()
		if (err == nil) != (test.cause == "") || err != nil && !strings.Contains(err.Error(), test.cause) {
			t.Errorf("%+v: %v, want an error about %q", test.policy, err, test.cause)
		}
	}
}

func TestInvalidPolicyRemovesNothing(t *testing.T) {
	backups := parseCalendar(t, "UTC", "2026-11-20T09:00:00Z\n2026-11-21T09:00:00Z")
	for _, d := range retention.Apply(backups, retention.Policy{Last: -2}, time.Now()) {
		if !d.Keep || !strings.Contains(d.Reasons[0], "negative") {
			t.Errorf("%+v", d)
		}
	}
}

func TestNoBackups(t *testing.T) {
	if got := retention.Apply(nil, retention.Policy{Within: retention.Span{Days: 1}}, time.Now()); len(got) != 0 {
		t.Errorf("Apply(nil) = %v", got)
	}
}

func TestIsEmpty(t *testing.T) {
	if !(retention.Policy{}).IsEmpty() {
		t.Error("the zero policy is not empty")
	}
	if (retention.Policy{Age: retention.Span{Hours: 1}}).IsEmpty() {
		t.Error("a policy with an age is empty")
	}
}

func TestRules(t *testing.T) {
	if got := (retention.Policy{}).Rules(); got != nil {
		t.Errorf("an empty policy has the rules %v", got)
	}
	p := retention.Policy{
		Last: 1, Hourly: 2, Daily: 3, Weekly: 4, Monthly: 5, Yearly: retention.Unlimited, Within: retention.Span{Days: 6}, WithinHourly: retention.Span{Hours: 7},
		WithinDaily: retention.Span{Days: 8}, WithinWeekly: retention.Span{Days: 9}, WithinMonthly: retention.Span{Months: 10}, WithinYearly: retention.Span{Years: 11, Months: 1},
		Age: retention.Span{Days: 12},
	}
	want := []retention.Rule{
		{"last", "1"}, {"hourly", "2"}, {"daily", "3"}, {"weekly", "4"}, {"monthly", "5"}, {"yearly", "unlimited"}, {"within", "6d"},
		{"within-hourly", "7h"}, {"within-daily", "8d"}, {"within-weekly", "9d"}, {"within-monthly", "10m"}, {"within-yearly", "11y1m"},
		{"age", "12d"},
	}
	if got := p.Rules(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
