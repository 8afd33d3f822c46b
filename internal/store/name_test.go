package store

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

var berlin = time.FixedZone("CET", 3600)

func TestParseName(t *testing.T) {
	day := func(h, m, s int) time.Time { return time.Date(2026, 11, 23, h, m, s, 0, berlin) }
	for _, c := range []struct {
		name string
		want time.Time
		ok   bool
	}{
		{"2026-11-23-09:00", day(9, 0, 0), true},
		{"2026-11-23-09:00:27", day(9, 0, 27), true},
		{"2026-11-23-09:00:27.1", day(9, 0, 27), true},
		{"2026-11-23-09:00:27.12", day(9, 0, 27), true},
		{"2026-11-23-09:00.1", time.Time{}, false},
		{"2026-11-23-09:00:27.0", time.Time{}, false},
		{"2026-11-23-09:00:27.", time.Time{}, false},
		{"2026-11-23-24:00", time.Time{}, false},
		{"2026-02-29-09:00", time.Time{}, false},
		{"2026-11-23", time.Time{}, false},
		{"2026-11-23-09:00:27\n", time.Time{}, false},
		{" 2026-11-23-09:00", time.Time{}, false},
		{"cur", time.Time{}, false},
		{"", time.Time{}, false},
	} {
		got, ok := parseName(c.name, berlin)
		if ok != c.ok || !got.Equal(c.want) {
			t.Errorf("parseName(%q) = %v, %v; want %v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestNamedByUs(t *testing.T) {
	for name, want := range map[string]bool{
		"2026-11-23-09:00":      true,
		"2026-11-23-09:00:27.1": true,
		"2026-11-23-09:00:27":   false, // theirs, or a second one of ours in that minute
		"cur":                   false,
	} {
		if got := NamedByUs(name); got != want {
			t.Errorf("namedByUs(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestFreeNameCarriesSecondsThenANumber(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 27, 5, berlin)
	taken := map[string]bool{}
	for _, want := range []string{"2026-11-23-09:00", "2026-11-23-09:00:27", "2026-11-23-09:00:27.1", "2026-11-23-09:00:27.2"} {
		got, _ := freeName(now, 0, taken)
		if got != want {
			t.Fatalf("freeName = %q, want %q", got, want)
		}
		if _, ok := parseName(got, berlin); !ok {
			t.Fatalf("parseName does not know %q", got)
		}
		taken[got] = true
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"2026-11-23-09:00", "2026-11-23-09:00:27", "2026-11-23-09:00:27.1", "pending", "../x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		at, ok := parseName(name, time.UTC)
		if !ok {
			return
		}
		if s := at.Format(nameSecond); s[:len(nameMinute)] != name[:len(nameMinute)] {
			t.Errorf("parseName(%q) is %s", name, s)
		}
		for _, c := range name {
			if c != '-' && c != ':' && c != '.' && (c < '0' || c > '9') {
				t.Errorf("parseName accepts %q", name)
			}
		}
	})
}

func TestFind(t *testing.T) {
	backups := []facts.Snapshot{{Name: "2026-11-22-09:00"}, {Name: "2026-11-23-09:00"}, {Name: "2026-11-23-09:00:27"}, {Name: "2026-11-24-10:00"}}
	for _, c := range []struct {
		ref, want string
		err       error
	}{
		{"2026-11-22-09:00", "2026-11-22-09:00", nil},
		{"2026-11-22", "2026-11-22-09:00", nil},
		{"2026-11-23-09:00", "2026-11-23-09:00", nil}, // a full name wins over being a prefix
		{"2026-11-23", "", facts.ErrAmbiguous},
		{"2026-11", "", facts.ErrAmbiguous},
		{"2027", "", facts.ErrNoBackup},
		{"", "", facts.ErrNoBackup},
		{"latest", "2026-11-24-10:00", nil},
		{"latest~0", "2026-11-24-10:00", nil},
		{"latest~3", "2026-11-22-09:00", nil},
		{"latest~4", "", facts.ErrNoBackup},
		{"latest~", "", facts.ErrNoBackup},
		{"latest~-1", "", facts.ErrNoBackup},
		{"latest~+1", "", facts.ErrNoBackup},
		{"latest~99999999999999999999", "", facts.ErrNoBackup},
		{"latestx", "", facts.ErrNoBackup},
	} {
		got, err := Find(backups, c.ref)
		if got.Name != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("find(%q) = %q, %v; want %q, %v", c.ref, got.Name, err, c.want, c.err)
		}
	}
	if _, err := Find([]facts.Snapshot{{Name: "2026-11-23-09:00:27"}}, "2026-11-23-09:00"); !errors.Is(err, facts.ErrNoBackup) {
		t.Errorf("a whole name that is gone: %v", err)
	}
	if _, err := Find(nil, "latest"); !errors.Is(err, facts.ErrNoBackup) {
		t.Errorf("find latest of none: %v", err)
	}
}

// TestSplitName compares with the pattern of a name, for names that differ from one in a byte.
func TestSplitName(t *testing.T) {
	pattern := regexp.MustCompile(`^(\d{4}-\d{2}-\d{2}-\d{2}:\d{2}(?::\d{2})?)(?:\.([1-9]\d{0,8}))?$`)
	for _, name := range []string{"2026-11-22-09:00", "2026-11-22-09:00:59", "2026-11-22-09:00:59.1", "2026-11-22-09:00.1", "2026-11-22-09:00:59.123456789"} {
		for i := range len(name) + 1 {
			for _, put := range []string{"", "0", "9", "x", "-", ":", ".", "/", "\n", "٣", "\xff"} {
				for _, other := range []string{name[:i] + put + name[i:], name[:i] + put + name[min(i+1, len(name)):], name[:i] + put} {
					m := pattern.FindStringSubmatch(other)
					moment, number, ok := splitName(other)
					if ok != (m != nil) || ok && (moment != m[1] || number != m[2]) {
						t.Errorf("%q: %q, %q, %t; want %q", other, moment, number, ok, m)
					}
				}
			}
		}
	}
}
