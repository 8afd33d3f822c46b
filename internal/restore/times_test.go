package restore

import (
	"testing"
	"time"
)

func TestLostOfTime(t *testing.T) {
	at := func(sec, nsec int64) time.Time { return time.Unix(sec, nsec) }
	const sec = 1_700_000_001
	for _, c := range []struct {
		name      string
		want, got time.Time
		text      string
	}{
		{"kept", at(sec, 123456789), at(sec, 123456789), ""},
		{"a whole second is kept by all but FAT", at(sec+1, 0), at(sec+1, 0), ""},
		{"NTFS", at(sec, 123456789), at(sec, 123456700), "keeps times to 100 ns only"},
		{"exFAT", at(sec, 123456789), at(sec, 120000000), "keeps times to 10 ms only"},
		{"ext3", at(sec, 123456789), at(sec, 0), "keeps times to 1 s only"},
		{"FAT", at(sec, 123456789), at(sec-1, 0), "keeps times to 2 s only"},
		{"another file was left there", at(sec, 123456789), at(sec-60, 0), ""},
		{"after 2038", at(4102444800, 0), at(1<<31-1, 0), "keeps no times before 1901 or after 2038 (2100-01-01T00:00:00Z became 2038-01-19T03:14:07Z)"},
		{"before 1901", at(-1<<32, 0), at(0, 0), "keeps no times before 1901 or after 2038 (1833-11-24T17:31:44Z became 1970-01-01T00:00:00Z)"},
	} {
		if text := lostOfTime(c.want, c.got); text != c.text {
			t.Errorf("%s: %q, want %q", c.name, text, c.text)
		}
	}
}
