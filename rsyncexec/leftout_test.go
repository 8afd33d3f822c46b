package rsyncexec

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLeftOut(t *testing.T) {
	tests := []struct {
		filter, exclude, extra []string
		want                   []string
	}{
		{nil, []string{"/bk"}, nil, []string{"bk"}},
		{nil, []string{"/mnt/bk/", "- /x"}, nil, []string{"mnt/bk", "x"}},
		{[]string{"- /bk", "-_/b k", "exclude /a b/", "exclude_/d"}, nil, nil, []string{"bk", "b k", "a b", "d"}},
		{nil, nil, []string{"-z", "--exclude=/a", "--exclude", "/b", "-f", "- /c", "-f- /d", "--filter=- /e", "-zf- /f"}, []string{"c", "d", "e", "f", "a", "b"}},
		{nil, []string{`/b\*\[1]`, `/b\*\\s`, `/b\s`, `/back\`, `/x]`}, nil, []string{"b*[1]", `b*\s`, `b\s`, `back\`, "x]"}},

		{nil, []string{"bk", "mnt/bk", "/", "//", "/.", "/..", "/a/../b", "//bk", "/a//b", "", "!", "+ /bk", " /bk"}, nil, nil},
		{nil, []string{"/b*", "/b?", "/b[k]", "/bk/*", "/bk/**", "/bk/***", `/b*\`}, nil, nil},
		{[]string{"+ /bk", "-/ /bk", "-s /bk", "-! /bk", "-p /bk", "merge /bk", "- bk", "-/bk", "H /bk", "", "!"}, nil, nil, nil},
		{nil, nil, []string{"--exclude-from=/bk", "--include=/bk", "-e", "--exclude=/bk"}, nil},
		{nil, nil, []string{"--exclude=/bk", "not an option"}, nil},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, LeftOut(test.filter, test.exclude, test.extra)); diff != "" {
			t.Errorf("%q %q %q (-want +got):\n%s", test.filter, test.exclude, test.extra, diff)
		}
	}
}

// What is taken to name one path, rsync leaves out by it, and nothing else.
func TestRsyncLeavesOutWhatIsNamed(t *testing.T) {
	named := []string{"plain", "a b", "b*[1]", `b\s`, `b*\s`, `end\`, `x]`, "q?", "new\nline", "-n", "+ x", "~", "***"}
	names := slices.Concat(named, []string{"plainer", "bs", "bbs", "b*1", "qx", "deeper/plain", "deeper/b*[1]"})
	src := t.TempDir()
	for _, name := range names {
		write(t, src+"/"+name+"/ok", "")
	}
	for _, name := range named {
		pattern := "/" + escapePattern(name)
		if got := LeftOut(nil, []string{pattern}, nil); len(got) != 1 || got[0] != name {
			t.Errorf("%q: names %q", pattern, got)
		}
		for _, o := range []Options{{Exclude: []string{pattern}}, {Filter: []string{"- " + pattern}}, {Extra: []string{"--exclude", pattern + "/"}}} {
			dst := t.TempDir()
			o.Source, o.Dest = Source{Path: src}, dst
			if _, err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			for _, other := range names {
				_, err := os.Stat(dst + "/" + other + "/ok")
				if copied := err == nil; copied == (other == name) {
					t.Errorf("%q: %q copied: %v", pattern, other, copied)
				}
			}
		}
	}
}

func FuzzLeftOut(f *testing.F) {
	f.Add("- /bk", `/b\*k`, "--exclude=/x")
	f.Add("exclude,s /bk", "/a/../b", "-f- /y")
	f.Fuzz(func(t *testing.T, filter, exclude, extra string) {
		for _, path := range LeftOut([]string{filter}, []string{exclude}, []string{extra}) {
			again, ok := namedPath("/" + escapePattern(path))
			if !ok || again != path {
				t.Errorf("%q %q %q: %q comes back as %q", filter, exclude, extra, path, again)
			}
		}
	})
}

func escapePattern(path string) string {
	if strings.ContainsAny(path, wildcards) {
		return escaper.Replace(path)
	}
	return path
}
