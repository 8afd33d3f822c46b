package rsyncexec

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseListed(t *testing.T) {
	at := time.Date(2020, 1, 1, 12, 0, 10, 0, time.UTC)
	for line, want := range map[string]Listed{
		"entry: >f+++++++++ 2020/01/01-12:00:10 etc/a b":      {'f', at, "etc/a b"},
		"entry: cd+++++++++ 2020/01/01-12:00:10 etc/":         {'d', at, "etc"},
		"entry: cL+++++++++ 2020/01/01-12:00:10 l -> x":       {'L', at, "l -> x"},
		`entry: >f+++++++++ 2020/01/01-12:00:10 new\#012line`: {'f', at, "new\nline"},
	} {
		if got, ok := ParseListed(line); !ok || got != want {
			t.Errorf("%s: %+v %v, want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{"", "entry: ", "change: >f+++++++++ x", "entry: >f+++++++++ 2020/01/01 12:00:10 x", "entry: >x+++++++++ 2020/01/01-12:00:10 x"} {
		if got, ok := ParseListed(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func FuzzParseListed(f *testing.F) {
	f.Add("entry: >f+++++++++ 2020/01/01-12:00:10 etc/a b")
	f.Fuzz(func(t *testing.T, line string) {
		if got, ok := ParseListed(line); ok && got.Mtime.Location() != time.UTC {
			t.Errorf("%q: %+v", line, got)
		}
	})
}

// The times do not depend on where the caller is.
func TestRunLists(t *testing.T) {
	t.Setenv("TZ", "America/New_York")
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	at := time.Date(2020, 1, 1, 12, 0, 10, 7, time.UTC)
	for _, err := range []error{os.Symlink("x", dir+"/link"), unix.Mkfifo(dir+"/fifo", 0o600), os.Mkdir(dir+"/dir", 0o700), os.Chtimes(dir+"/file", at, at)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]byte{}
	o := Options{Source: Source{Path: dir}, Dest: dir + "/none", DryRun: true, Listed: func(e Listed) {
		kinds[e.Path] = e.Kind
		if e.Path == "file" && !e.Mtime.Equal(at.Truncate(time.Second)) {
			t.Errorf("of %v", e.Mtime)
		}
	}}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if len(kinds) != 5 || kinds["."] != 'd' || kinds["file"] != 'f' || kinds["link"] != 'L' || kinds["fifo"] != 'S' || kinds["dir"] != 'd' {
		t.Errorf("%q", kinds)
	}
}
