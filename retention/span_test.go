package retention_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

func TestParseSpan(t *testing.T) {
	for in, want := range map[string]retention.Span{
		"12h":      {Hours: 12},
		"30d":      {Days: 30},
		"2w":       {Days: 14},
		"3m":       {Months: 3},
		"1y6m":     {Years: 1, Months: 6},
		"1y2m3d4h": {Years: 1, Months: 2, Days: 3, Hours: 4},
		"4h3d2m1y": {Years: 1, Months: 2, Days: 3, Hours: 4},
		"1w1d":     {Days: 8},
		"007d":     {Days: 7},
		"1000000d": {Days: 1_000_000},
	} {
		got, err := retention.ParseSpan(in)
		if err != nil || got != want {
			t.Errorf("ParseSpan(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestParseSpanErrors(t *testing.T) {
	for in, cause := range map[string]string{
		"":                        "empty",
		"30":                      "unit",
		"d":                       "m is months)",
		"0d":                      "zero",
		"1y0m":                    "zero",
		"-1d":                     "m is months)",
		"+1d":                     "m is months)",
		"1d2d":                    "repeated",
		"1D":                      "m is months)",
		"1s":                      "m is months)",
		"1é":                      "m is months)",
		" 1d":                     "m is months)",
		"1d ":                     "m is months)",
		"1.5d":                    "m is months)",
		"1000001d":                "more than",
		"142858w":                 "more than",
		"1w1000000d":              "more than",
		"99999999999999999999d":   "more than",
		"9223372036854775807w1d":  "more than",
		"18446744073709551617h1d": "more than",
	} {
		got, err := retention.ParseSpan(in)
		if err == nil || !strings.Contains(err.Error(), cause) || got != (retention.Span{}) {
			t.Errorf("ParseSpan(%q) = %+v, %v; want an error with %q", in, got, err, cause)
		}
	}
}

func FuzzParseSpan(f *testing.F) {
	for _, seed := range []string{"30d", "1y2m3d4h", "2w1d", "", "0d", "1d1d", "99999999999999999999d", "1\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		span, err := retention.ParseSpan(in)
		if err != nil {
			return
		}
		again, err := retention.ParseSpan(span.String())
		if err != nil || again != span {
			t.Errorf("ParseSpan(%q) = %+v, but its String %q parses to %+v, %v", in, span, span, again, err)
		}
		if now := time.Now(); !span.Before(now).Before(now) {
			t.Errorf("%q before now is %v", in, span.Before(now))
		}
	})
}

func TestSpanBefore(t *testing.T) {
	const berlin, newYork = "Europe/Berlin", "America/New_York"
	tests := []struct {
		title, zone, span, from, want string
	}{
		{"a day", berlin, "1d", "2026-06-10T09:00:00+02:00", "2026-06-09T09:00:00+02:00"},
		{"a month", berlin, "1m", "2026-06-10T09:00:00+02:00", "2026-05-10T09:00:00+02:00"},
		{"months over a year", berlin, "14m", "2026-01-10T09:00:00+01:00", "2024-11-10T09:00:00+01:00"},
		{"all units", berlin, "1y2m3d4h", "2026-06-10T09:00:00+02:00", "2025-04-07T05:00:00+02:00"},

		{"no 31 February", "UTC", "1m", "2026-03-31T10:00:00Z", "2026-03-01T00:00:00Z"},
		{"no 29 February", "UTC", "1m", "2026-03-29T10:00:00Z", "2026-03-01T00:00:00Z"},
		{"28 February", "UTC", "1m", "2026-03-28T10:00:00Z", "2026-02-28T10:00:00Z"},
		{"29 February", "UTC", "1m", "2028-03-29T10:00:00Z", "2028-02-29T10:00:00Z"},
		{"a year before 29 February", "UTC", "1y", "2028-02-29T10:00:00Z", "2027-03-01T00:00:00Z"},
		{"4 years before 29 February", "UTC", "4y", "2028-02-29T10:00:00Z", "2024-02-29T10:00:00Z"},
		{"1900 was no leap year", "UTC", "4y", "1904-02-29T10:00:00Z", "1900-03-01T00:00:00Z"},
		{"no 31 June", "UTC", "1m", "2026-07-31T10:00:00Z", "2026-07-01T00:00:00Z"},
		{"the month first, then the days", "UTC", "1m1d", "2026-03-31T10:00:00Z", "2026-02-28T00:00:00Z"},

		{"spring: the same hour over a 23-hour day", berlin, "1d", "2026-03-29T09:00:00+02:00", "2026-03-28T09:00:00+01:00"},
		{"spring: hours pass", berlin, "24h", "2026-03-29T09:00:00+02:00", "2026-03-28T08:00:00+01:00"},
		{"spring: a skipped hour is the skip", berlin, "1d", "2026-03-30T02:30:00+02:00", "2026-03-29T03:00:00+02:00"},
		{"autumn: the same hour over a 25-hour day", berlin, "1d", "2026-10-25T09:00:00+01:00", "2026-10-24T09:00:00+02:00"},
		{"autumn: a doubled hour is the first", berlin, "1d", "2026-10-26T02:30:00+01:00", "2026-10-25T02:30:00+02:00"},
		{"autumn: from the first", berlin, "1d", "2026-10-25T02:30:00+02:00", "2026-10-24T02:30:00+02:00"},
		{"autumn: from the second", berlin, "1d", "2026-10-25T02:30:00+01:00", "2026-10-24T03:00:00+02:00"},

		{"spring, New York", newYork, "1d", "2026-03-08T09:00:00-04:00", "2026-03-07T09:00:00-05:00"},
		{"spring, New York: the skip", newYork, "1d", "2026-03-09T02:30:00-04:00", "2026-03-08T03:00:00-04:00"},
		{"autumn, New York", newYork, "1d", "2026-11-01T09:00:00-05:00", "2026-10-31T09:00:00-04:00"},
		{"autumn, New York: the first", newYork, "1d", "2026-11-02T01:30:00-05:00", "2026-11-01T01:30:00-04:00"},
	}
	for _, test := range tests {
		t.Run(test.title, func(t *testing.T) {
			got := span(t, test.span).Before(at(t, test.zone, test.from)).Format(time.RFC3339)
			if got != test.want {
				t.Errorf("%s before %s is %s, want %s", test.span, test.from, got, test.want)
			}
		})
	}
}

// A cutoff that moved back would bring back what it had cut off.
func TestSpanBeforeNeverMovesBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"} {
		zone := location(t, name)
		for range 300 {
			s := randomSpan(rnd)
			at := time.Unix(rnd.Int64N(2_000_000_000), 0).In(zone)
			last := s.Before(at)
			for range 200 {
				at = at.Add(time.Duration(rnd.IntN(90)) * time.Minute)
				next := s.Before(at)
				if next.Before(last) {
					t.Fatalf("%v before %v is %v, earlier than for an earlier time: %v", s, at, next, last)
				}
				last = next
			}
		}
	}
}

func randomSpan(rnd *rand.Rand) retention.Span {
	return retention.Span{
		Years:  rnd.IntN(3) * rnd.IntN(2),
		Months: rnd.IntN(15) * rnd.IntN(2),
		Days:   rnd.IntN(45) * rnd.IntN(2),
		Hours:  rnd.IntN(50) * rnd.IntN(2),
	}
}

func span(t testing.TB, s string) retention.Span {
	t.Helper()
	span, err := retention.ParseSpan(s)
	if err != nil {
		t.Fatal(err)
	}
	return span
}

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func at(t testing.TB, zone, rfc3339 string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.In(location(t, zone))
}
