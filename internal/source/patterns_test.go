package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func TestPatternsThatNameWhatIsBelow(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	src := filepath.Join(top, "src")
	must(os.MkdirAll(filepath.Join(src, "cache", "deep"), 0o755))
	must(os.MkdirAll(filepath.Join(top, "other"), 0o755))
	must(os.Symlink(src, filepath.Join(top, "link")))
	t.Setenv("HOME", top)
	t.Chdir(top)
	for pattern, want := range map[string]string{
		"src/cache":              "/cache",
		"src/cache/":             "/cache/",
		top + "/link/cache":      "/cache",
		top + "/link/cache/deep": "/cache/deep",
		"link/cache":             "/cache",
		"~/src/cache":            "/cache",
		"cache/deep":             "", // of another directory, or as it should be
		"/cache":                 "",
		"/cache/deep":            "",
		"src/*":                  "",
		"src/absent":             "",
		"src":                    "",
		top + "/other":           "",
		"~/other":                "",
		"~/absent":               "",
	} {
		s := Source{Spec: rsyncexec.Source{Kind: rsyncexec.Local, Path: src}}
		if _, got := s.named(pattern); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
	must(os.MkdirAll(filepath.Join(src, top, "link", "cache"), 0o755))
	both := Source{Spec: rsyncexec.Source{Kind: rsyncexec.Local, Path: src}}
	if _, got := both.named(top + "/link/cache"); got != "" {
		t.Errorf("a path below SRC, too: %q", got)
	}
	t.Chdir(src)
	s := Source{Spec: rsyncexec.Source{Kind: rsyncexec.Local, Path: src}}
	if _, got := s.named("cache/deep"); got != "" {
		t.Errorf("a pattern that is right: %q", got)
	}
	if lines := s.Misplaced(Reading{Exclude: []string{src + "/cache", "../link/cache"}}, false); len(lines) != 2 || !strings.Contains(lines[1], "does not exclude "+src+"/cache") {
		t.Errorf("%q", lines)
	}
}

func TestMisplaced(t *testing.T) {
	own := []string{"/data/src", "/mnt/disk/src"}
	for pattern, want := range map[string]string{
		"/data/src/cache":      "give /cache",
		"/data/src/a b/*.o":    "give /a b/*.o",
		"/mnt/disk/src/cache/": "give /cache/",
		"/data/src":            "it is SRC itself",
		"/data/src/":           "it is SRC itself",
		"./cache":              "give /cache",
		"/data/srcs/cache":     "",
		"/cache":               "",
		"cache":                "",
		"data/src/cache":       "",
		"*":                    "",
		"":                     "",
	} {
		if got, _ := misplaced(pattern, own); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}

func TestFilesystemsOfTheKernel(t *testing.T) {
	for _, tt := range []struct {
		patterns []string
		entered  string
	}{
		{nil, "proc srv/root/sys"},
		{[]string{"/tmp", "/sys", "*.o", "/*/sys"}, "proc srv/root/sys"},
		{[]string{"/proc"}, "srv/root/sys"},
		{[]string{"/proc/*", "/srv/root"}, ""},
		{[]string{"/proc/**", "sys/"}, ""},
		{[]string{"/*"}, ""},
		{[]string{"*"}, ""},
		{[]string{"/[ps]*"}, ""},
		{[]string{"/p*", "a**b"}, ""}, // in doubt
		{[]string{"/p*"}, "srv/root/sys"},
		{[]string{"r??t", "proc/"}, ""},
	} {
		if got := strings.Join(enteredBy(tt.patterns, []string{"proc", "srv/root/sys"}), " "); got != tt.entered {
			t.Errorf("%q: %q, want %q", tt.patterns, got, tt.entered)
		}
	}
}

func TestNoticeOfFilesystemsOfTheKernel(t *testing.T) {
	for name, tt := range map[string]struct {
		paths  []string
		r      Reading
		frozen bool
		want   string
	}{
		"proc and what is in it": {[]string{"proc", "proc/sys", "sys"}, Reading{}, false, ": proc, sys; to leave them out: -x, or --exclude=/proc --exclude=/sys"},
		"cannot be typed":        {[]string{"a b/proc"}, Reading{}, false, ": \"a b/proc\"; to leave them out: -x"},
		"by a pattern":           {[]string{"proc"}, Reading{Exclude: []string{"/proc"}}, false, ""},
		"by rules in a file":     {[]string{"proc"}, Reading{Filter: []string{". rules"}}, false, ""},
		"by rsync's own option":  {[]string{"proc"}, Reading{Extra: []string{"--exclude-from=rules"}}, false, ""},
		"by a mark":              {[]string{"srv/proc"}, Reading{Marks: Marks{Present: []string{".nobackup"}}}, false, ""},
		"in a snapshot":          {[]string{"proc"}, Reading{}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := Source{unending: tt.paths}
			if got := strings.Join(s.Misplaced(tt.r, tt.frozen), "\n"); !strings.HasSuffix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
