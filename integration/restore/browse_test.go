//go:build integration

package restore

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// ls prints the same as ls -lan, except the blocks and the quoting.
func TestLsShowsWhatIsThere(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	testdest.Must(t, os.Symlink("\x1b]0;\a\xfe\n", src+"/names/odd link"))
	backup := p.backup(t, src)
	for _, tt := range []struct{ path, sub string }{{"", ""}, {"etc", "/etc"}, {"/etc/ssh/", "/etc/ssh"}, {"inside/", "/etc"}} {
		args := []string{"ls", p.dest, "latest"}
		if tt.path != "" {
			args = append(args, tt.path)
		}
		got := testbin.Must(t, args...).Stdout
		cmd := exec.Command("ls", "-lAnv", "--quoting-style=literal", "--time-style=+%Y-%m-%d %H:%M:%S", backup+tt.sub)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.Output()
		testdest.Must(t, err)
		// The mark of an ACL and the widths of columns differ.
		if diff := cmp.Diff(columns(string(out)), columns(got)); diff != "" {
			t.Errorf("ls %q (-want +got):\n%s", tt.path, diff)
		}
	}
	// Bytes are untouched in a pipe, and harmless on a terminal.
	names := testbin.Must(t, "ls", p.dest, "latest", "names").Stdout
	if !strings.Contains(names, " new\nline \x1b[31m \xff -n\n") {
		t.Errorf("not as it is: %q", names)
	}
	link := testbin.Must(t, "ls", p.dest, "latest", "names/odd link").Stdout
	if !strings.HasSuffix(link, " odd link -> \x1b]0;\a\xfe\n\n") {
		t.Errorf("not as it is: %q", link)
	}
	shown := testdest.Tool(t, "script", "-qec", strings.Join([]string{testbin.Path(t), "ls", p.dest, "latest", "names;", testbin.Path(t), "ls", p.dest, "latest", `names/odd\ link`}, " "), "/dev/null")
	if !strings.Contains(shown, ` new\nline \x1b[31m \xff -n`) || !strings.Contains(shown, ` odd link -> \x1b]0;\x07\xfe\n`) {
		t.Errorf("not escaped: %q", shown)
	}
	one := testbin.Must(t, "ls", p.dest, "latest", "inside").Stdout
	if !strings.HasPrefix(one, "lrwxrwxrwx") || !strings.HasSuffix(one, "inside -> etc\n") {
		t.Errorf("a symlink itself: %q", one)
	}
}

func columns(listing string) map[string]bool {
	lines := map[string]bool{}
	for line := range strings.Lines(listing) {
		if fields := strings.Fields(line); fields[0] != "total" {
			fields[0] = strings.TrimSuffix(fields[0], "+")
			lines[strings.ReplaceAll(strings.Join(fields, " "), ", ", ":")] = true
		}
	}
	return lines
}

func TestLsRecursiveNamesEveryPathOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	testdest.Must(t, os.RemoveAll(src+"/names"))
	backup := p.backup(t, src)
	var got []string
	err := rsbtbackup.Ls(t.Context(), p.dest, "latest", "/", rsbtbackup.LsOptions{Recursive: true}, func(e rsbtbackup.Entry) error {
		got = append(got, e.Path)
		return nil
	})
	testdest.Must(t, err)
	want := testdest.Tool(t, "find", backup, "-mindepth", "1", "-printf", "%P\n")
	if sorted(strings.Join(got, "\n")) != sorted(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var entry struct {
		Type, Path, Kind, Mode string
		Size                   int64
		Links                  uint64
	}
	out := testbin.Must(t, "ls", "--json", p.dest, "latest", "etc/hosts").Stdout
	testdest.Must(t, json.Unmarshal([]byte(out), &entry))
	if entry.Type != "entry" || entry.Path != "etc/hosts" || entry.Kind != "file" || entry.Size != 20 || entry.Mode != "0644" || entry.Links != 1 {
		t.Errorf("%s gives %+v", out, entry)
	}
}

func TestLsOfSomeNames(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	for _, name := range []string{"b", "a", "d", "c/a", "c/e"} {
		testdest.Must(t, errors.Join(os.MkdirAll(filepath.Dir(src+"/"+name), 0o755), os.WriteFile(src+"/"+name, nil, 0o644)))
	}
	p.backup(t, src)
	var given, got []string
	pick := func(names []string) []string {
		given = append(given, strings.Join(names, " "))
		return slices.DeleteFunc(names, func(name string) bool { return name == "a" || name == "d" })
	}
	err := rsbtbackup.Ls(t.Context(), p.dest, "latest", "/", rsbtbackup.LsOptions{Recursive: true, Pick: pick}, func(e rsbtbackup.Entry) error {
		got = append(got, e.Path)
		return nil
	})
	testdest.Must(t, err)
	if want := []string{"a b c d", "a e"}; !slices.Equal(given, want) {
		t.Errorf("Pick was given %q, want %q", given, want)
	}
	if want := []string{"b", "c", "c/e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCatCopiesBytesUntouched(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	testdest.Must(t, os.WriteFile(src+"/all bytes", all, 0o600))
	p.backup(t, src)
	if got := testbin.Must(t, "cat", p.dest, "latest", "/all bytes", "inside/hosts", "--json", "-q").Stdout; got != string(all)+"127.0.0.1 localhost\n" {
		t.Errorf("cat: %q", got)
	}
	// However many files there are, DEST and the backup are opened once, so that all are of one backup.
	opened := func(paths ...string) int {
		args := append([]string{"-f", "-qq", "-P", p.dest, "-e", "trace=openat,openat2", testbin.Path(t), "cat", p.dest, "latest"}, paths...)
		return strings.Count(testbin.Finish(t, exec.Command("strace", args...)).Stderr, "open")
	}
	if one, five := opened("plain"), opened("plain", "plain", "plain", "plain", "plain"); one == 0 || one != five {
		t.Errorf("DEST is opened %d times for one file, %d for five", one, five)
	}
	// To a terminal: text only.
	if got := testdest.Tool(t, "script", "-qec", testbin.Path(t)+" cat "+p.dest+" latest plain", "/dev/null"); got != "plain\r\n" {
		t.Errorf("cat to a terminal: %q", got)
	}
	out, err := exec.Command("script", "-qec", testbin.Path(t)+" cat "+p.dest+" latest 'all bytes'", "/dev/null").Output()
	if err == nil || !strings.Contains(string(out), "control characters") || strings.ContainsAny(string(out), "\x00\x07") {
		t.Errorf("control characters to a terminal: %v, %q", err, out)
	}
	f, err := rsbtbackup.Open(t.Context(), p.dest, "latest", "plain")
	testdest.Must(t, err)
	testdest.Must(t, f.Close())
}
