//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

func TestTheActivityLogIsPlainAndPrivate(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	testbin.Must(t, "-v", "--color=always", "backup", src, dest)
	log := testdest.Read(t, dest+"/.log/activity.log")
	for _, want := range []string{"initialised", "backup started", "backup finished", testdest.Current(t, dest), src} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "\x1b") || !utf8.ValidString(log) {
		t.Errorf("the log is not plain text: %q", log)
	}
	wantMode(t, dest+"/.log", 0o700)
	wantMode(t, dest+"/.log/activity.log", 0o600)
}

func TestTheActivityLogIsRotatedPast1MB(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	log := dest + "/.log/activity.log"
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	line := "time=2020-01-01T09:00:00.000Z level=INFO msg=" + strings.Repeat("x", 54) + "\n"
	full := strings.Repeat(line, 1_000_000/len(line))
	for i := range 3 {
		testdest.Must(t, os.WriteFile(log, []byte(full), 0o600))
		testdest.Backup(t, src, dest)
		old, current := testdest.Read(t, log+".1"), testdest.Read(t, log)
		if len(old) > 1_000_000 || len(current) > 1_000_000 || len(current) == 0 {
			t.Errorf("round %d: %d and %d bytes", i, len(old), len(current))
		}
		if all := old + current; !strings.HasPrefix(all, full) || !strings.HasSuffix(old, "\n") || !strings.Contains(all[len(full):], "backup finished") {
			t.Errorf("round %d: a line was lost or cut", i)
		}
		wantMode(t, log, 0o600)
		wantMode(t, log+".1", 0o600)
	}
	if got := testdest.Entries(t, dest+"/.log"); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "activity.log.") && s != "activity.log.1" }) {
		t.Errorf("more than one old log: %q", got)
	}
}

func TestQuietSaysNothingUnlessItFails(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	for _, args := range [][]string{{"-q", "init", dest}, {"-q", "backup", src, dest}, {"backup", "--quiet", src, dest}} {
		if r := testbin.Must(t, args...); r.Stdout+r.Stderr != "" {
			t.Errorf("%q said %q and %q", args, r.Stdout, r.Stderr)
		}
	}
	r := testbin.Run(t, "-q", "backup", src+"/missing", dest)
	wantOneErrorLine(t, r, src+"/missing")
}

// Cron mails what is written to a file or a pipe: no progress, no colour.
func TestNothingButTextGoesToAPipe(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Tool(t, "cp", "-a", goSource(t)+"/fmt", src)
	r := testbin.Must(t, "backup", src, dest)
	if r.Stderr != "" {
		t.Errorf("stderr of a backup that went well: %q", r.Stderr)
	}
	if strings.ContainsAny(r.Stdout, "\x1b\r") || !strings.Contains(r.Stdout, testdest.Current(t, dest)) {
		t.Errorf("stdout: %q", r.Stdout)
	}
	if r := testbin.Must(t, "-v", "backup", src, dest); strings.ContainsAny(r.Stdout+r.Stderr, "\x1b\r") {
		t.Errorf("escape sequences in a pipe: %q %q", r.Stdout, r.Stderr)
	}
	if r := testbin.Must(t, "-v", "--color=always", "backup", src, dest); !strings.Contains(r.Stderr, "\x1b[") {
		t.Errorf("--color=always has no colour: %q", r.Stderr)
	}
}

func TestJSONHasOneObjectALineWithTheKeysDocumented(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")

	wantObjects(t, testbin.Must(t, "--json", "init", dest), "init: adopted? already backups dest warnings?")
	first := wantObjects(t, testbin.Must(t, "backup", "--json", src, dest),
		"backup: dest dry_run ended name resumed rsync_exit rsync_version source started stats status")[0]
	if first["name"] != testdest.Current(t, dest) || first["status"] != "complete" || first["source"] != src || first["dest"] != dest {
		t.Errorf("backup: %v", first)
	}
	stats, ok := first["stats"].(map[string]any)
	if !ok || stats["files"] != 2.0 {
		t.Errorf("stats: %v, want 2 files", first["stats"])
	}
	second := wantObjects(t, testbin.Must(t, "backup", "--json", src, dest),
		"backup: base dest dry_run ended name resumed rsync_exit rsync_version source started stats status")[0]
	if second["base"] != first["name"] {
		t.Errorf("base %v, want %v", second["base"], first["name"])
	}
	wantObjects(t, testbin.Must(t, "backup", "-n", "--json", src, dest),
		"backup: base dest dry_run ended resumed rsync_exit rsync_version source started stats")

	listed := wantObjects(t, testbin.Must(t, "list", "--json", dest),
		"snapshot: current id name parent_uuid read_only record status time uuid",
		"snapshot: current id name parent_uuid read_only record status time uuid",
		"summary: backups dest foreign running unfinished")
	if listed[0]["current"] != false || listed[1]["current"] != true || listed[1]["read_only"] != true || listed[2]["backups"] != 2.0 {
		t.Errorf("list: %v", listed)
	}

	r := testbin.Run(t, "list", "--json", src)
	failed := wantObjects(t, r, "error: exit hints message")[0]
	if failed["exit"] != float64(r.Exit) || r.Exit != 10 {
		t.Errorf("exit %d, JSON says %v", r.Exit, failed)
	}
	r = testbin.Run(t, "backup", "--json", src+"/missing", dest)
	if r.Exit != 12 {
		t.Errorf("exit %d, want 12", r.Exit)
	}
	all := objects(t, r)
	if last := all[len(all)-1]; last["type"] != "error" || last["exit"] != 12.0 {
		t.Errorf("the last object of a failed run is %v", last)
	}
}

// wantObjects compares the keys of every line with "type: key key", where "key?" may be absent. Keys may be added:
// measured figures depend on the kernel.
func wantObjects(t testing.TB, r testbin.Result, want ...string) []map[string]any {
	t.Helper()
	all := objects(t, r)
	if len(all) != len(want) {
		t.Fatalf("%d objects, want %d:\n%s", len(all), len(want), r.Stdout)
	}
	for i, object := range all {
		kind, keys, _ := strings.Cut(want[i], ": ")
		if object["type"] != kind {
			t.Errorf("object %d is of type %v, want %s", i, object["type"], kind)
		}
		var missing []string
		for key := range strings.FieldsSeq(keys) {
			if _, ok := object[key]; !ok && !strings.HasSuffix(key, "?") {
				missing = append(missing, key)
			}
		}
		if diff := cmp.Diff([]string(nil), missing); diff != "" {
			t.Errorf("object %d, %s, lacks keys; it has %q:\n%s", i, kind, slices.Sorted(maps.Keys(object)), diff)
		}
	}
	return all
}

func objects(t testing.TB, r testbin.Result) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range bytes.Lines([]byte(r.Stdout)) {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, object)
	}
	return all
}
