package rsyncexec

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStats(t *testing.T) {
	want := Stats{
		Files: 303, RegularFiles: 301, Directories: 1, Symlinks: 1, Created: 303, Deleted: 7, Transferred: 300,
		TotalSize: 6020001, TransferredSize: 6000000, Literal: 5999000, Matched: 1000, Sent: 6018088, Received: 5740,
	}
	got, ok := ParseStats(">f+++ x\n" + statsSample)
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("ok %v (-want +got):\n%s", ok, diff)
	}
	forged := "Number of files: 1\nTotal file size: 1 bytes\nTotal bytes sent: 1\nTotal bytes received: 1\n" + statsSample
	if got, _ := ParseStats(forged); got != want {
		t.Errorf("a file's name was believed: %+v", got)
	}
	for name, text := range map[string]string{
		"empty":      "",
		"cut off":    statsSample[:200],
		"human":      strings.Replace(statsSample, "6020001", "6.02M", 1),
		"separators": strings.Replace(statsSample, "6020001", "6,020,001", 1),
		"negative":   strings.Replace(statsSample, "6020001", "-1", 1),
		"overflow":   strings.Replace(statsSample, "6020001", "99999999999999999999", 1),
	} {
		if got, ok := ParseStats(text); ok || got != (Stats{}) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestParseProgress(t *testing.T) {
	tests := []struct {
		line string
		want Progress
	}{
		{"          32768   0%    0.00kB/s    0:00:00  ", Progress{Bytes: 32768}},
		{"        2097152  23%    1.95MB/s    0:00:03  ", Progress{Bytes: 2097152, Percent: 23, Rate: 1.95 * (1 << 20), ETA: 3 * time.Second}},
		{"      1  99%    2.50GB/s  100:01:02  ", Progress{Bytes: 1, Percent: 99, Rate: 2.5 * (1 << 30), ETA: 100*time.Hour + 62*time.Second}},
		{"      0   0%    0.00kB/s   ??:??:??  ", Progress{}},
		{"        3000000  33%    1.93MB/s    0:00:01 (xfr#1, to-chk=0/304)", Progress{Bytes: 3000000, Percent: 33, Rate: 1.93 * (1 << 20), Elapsed: time.Second, Transferred: 1, Total: 304}},
		{"  5 100%    1.00kB/s    0:00:01 (xfr#2, ir-chk=1010/2020) ", Progress{Bytes: 5, Percent: 100, Rate: 1024, Elapsed: time.Second, Transferred: 2, ToCheck: 1010, Total: 2020, Scanning: true}},
		{"  5 120%    1.00kB/s    0:00:01", Progress{Bytes: 5, Percent: 100, Rate: 1024, ETA: time.Second}},
	}
	for _, test := range tests {
		got, ok := ParseProgress(test.line)
		if diff := cmp.Diff(test.want, got); !ok || diff != "" {
			t.Errorf("%q: ok %v (-want +got):\n%s", test.line, ok, diff)
		}
	}
	for _, line := range []string{
		"", "a b c d", "sending incremental file list", "1 2% 3kB/s", "-1 2% 3.0kB/s 0:00:01", "1 2% -3.0kB/s 0:00:01", "1 2% 0:00:01 3.0kB/s",
		"1 2% 3.0kB/s 0:60:01", "1 2% NaNkB/s 0:00:01", "1 2% 3.0kB/s 99999999999:00:01", "1,000 2% 3.0kB/s 0:00:01",
		"1 2% 3.0kB/s 0:00:01 (xfr#1)", "1 2% 3.0kB/s 0:00:01 (xfr#1, to-chk=5/4)", "1 2% 3.0kB/s 0:00:01 (xfr#-1, to-chk=1/4)", "1 2% 1e9kB/s 0:00:01",
	} {
		if got, ok := ParseProgress(line); ok || got != (Progress{}) {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{
		"rsync  version 3.5.0  protocol version 32\nCopyright": {3, 5, 0},
		"rsync  version v3.2.7  protocol version 31":           {3, 2, 7},
		"rsync  version 3.4.2pre1  protocol version 32":        {3, 4, 2},
		"rsync version 4.0": {4, 0, 0},
		"openrsync: protocol version 29\nrsync version 2.6.9 compatible\n": {2, 6, 9},
	} {
		if got, ok := ParseVersion(text); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "rsync", "rsync  version x", "xrsync version 3.5.0", "rsync version 3"} {
		if got, ok := ParseVersion(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !(Version{3, 1, 2}).Less(MinVersion()) || (Version{3, 1, 3}).Less(MinVersion()) || (Version{4, 0, 0}).Less(MinVersion()) || !(Version{2, 9, 9}).Less(MinVersion()) {
		t.Error("Less orders wrongly")
	}
}

// block writes statistics as rsync does, kinds that do not occur left out.
func block(s Stats) string {
	var kinds []string
	for _, kind := range []struct {
		name string
		n    int64
	}{{"reg", s.RegularFiles}, {"dir", s.Directories}, {"link", s.Symlinks}, {"dev", s.Devices}, {"special", s.Specials}} {
		if kind.n > 0 {
			kinds = append(kinds, fmt.Sprintf("%s: %d", kind.name, kind.n))
		}
	}
	files := fmt.Sprint(s.Files)
	if len(kinds) > 0 {
		files += " (" + strings.Join(kinds, ", ") + ")"
	}
	return fmt.Sprintf("Number of files: %s\nNumber of created files: %d\nNumber of deleted files: %d\n"+
		"Number of regular files transferred: %d\nTotal file size: %d bytes\nTotal transferred file size: %d bytes\n"+
		"Literal data: %d bytes\nMatched data: %d bytes\nTotal bytes sent: %d\nTotal bytes received: %d\n",
		files, s.Created, s.Deleted, s.Transferred, s.TotalSize, s.TransferredSize, s.Literal, s.Matched, s.Sent, s.Received)
}

// Never negative, nothing without success, and the same when written and read again.
func FuzzParseStats(f *testing.F) {
	f.Add(statsSample)
	f.Add(block(Stats{Files: 9, Devices: 1, Specials: 2, Sent: math.MaxInt64}))
	f.Add("Number of files: 1 (reg: 1)\nTotal file size: 1\nTotal bytes sent: 1\nTotal bytes received: 1\r\n")
	f.Add(statsSample + "Number of files: 5\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := ParseStats(text)
		if !ok {
			if s != (Stats{}) {
				t.Fatalf("%+v without success", s)
			}
			return
		}
		v := reflect.ValueOf(s)
		for _, field := range v.Fields() {
			if field.Int() < 0 {
				t.Fatalf("negative: %+v", s)
			}
		}
		if again, ok := ParseStats(block(s)); !ok || again != s {
			t.Fatalf("%+v read again is %+v, %v", s, again, ok)
		}
	})
}

func FuzzParseProgress(f *testing.F) {
	f.Add("        3000000  33%    1.93MB/s    0:00:01 (xfr#1, to-chk=0/304)")
	f.Add("          32768   0%    0.00kB/s    0:00:00  ")
	f.Add("      0   0%    0.00kB/s   ??:??:??  ")
	f.Add("  5 100%    1.00TB/s    999999:59:59 (xfr#2, ir-chk=1010/2020) ")
	f.Fuzz(func(t *testing.T, line string) {
		p, ok := ParseProgress(line)
		if !ok {
			if p != (Progress{}) {
				t.Fatalf("%+v without success", p)
			}
			return
		}
		if p.Bytes < 0 || p.Percent < 0 || p.Percent > 100 || !(p.Rate >= 0) || math.IsInf(p.Rate, 0) || p.ETA < 0 || p.Elapsed < 0 ||
			p.Transferred < 0 || p.ToCheck < 0 || p.ToCheck > p.Total {
			t.Fatalf("%q: %+v", line, p)
		}
		if p.ETA != 0 && p.Elapsed != 0 {
			t.Fatalf("%q: both ETA and Elapsed: %+v", line, p)
		}
	})
}

func FuzzParseVersion(f *testing.F) {
	f.Add("rsync  version 3.5.0  protocol version 32")
	f.Add("rsync  version v3.2.7")
	f.Add("rsync version 999999999999999999999.1")
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := ParseVersion(text)
		if v.Major < 0 || v.Minor < 0 || v.Patch < 0 || !ok && v != (Version{}) {
			t.Fatalf("%q: %v, %v", text, v, ok)
		}
		if again, same := ParseVersion("rsync  version " + v.String() + "  protocol version 32"); ok && (!same || again != v) {
			t.Fatalf("%v read again is %v", v, again)
		}
		if v.Less(v) {
			t.Fatalf("%v is less than itself", v)
		}
	})
}

// Lines come out whole wherever the stream is cut, and never longer than the bound.
func FuzzLines(f *testing.F) {
	f.Add("a\rb\n\nc", 2)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		var whole, pieces []string
		a, b := &lines{emit: func(s string) { whole = append(whole, s) }}, &lines{emit: func(s string) { pieces = append(pieces, s) }}
		_, _ = a.Write([]byte(text))
		a.flush()
		at := max(0, min(cut, len(text)))
		_, _ = b.Write([]byte(text[:at]))
		_, _ = b.Write([]byte(text[at:]))
		b.flush()
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Fatalf("cut at %d:\n%s", at, diff)
		}
		for _, line := range whole {
			if len(line) > maxLine || line == "" || strings.ContainsAny(line, "\r\n") {
				t.Fatalf("line %q", line)
			}
		}
	})
}

func TestTailKeepsTheEnd(t *testing.T) {
	kept := &tail{max: 10}
	for i := range 1000 {
		_, _ = fmt.Fprintf(kept, "%d,", i)
	}
	_, _ = kept.Write([]byte("x"))
	if got := kept.String(); got != ",998,999,x" {
		t.Errorf("kept %q", got)
	}
}
