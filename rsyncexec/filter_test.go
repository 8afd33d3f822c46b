package rsyncexec

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckRules(t *testing.T) {
	for rule, refused := range map[string]bool{
		"- *.o": false, "+ /x": false, "-s x": false, "-sp x": false, "H x": false, "hide x": false, "S x": false, "R x": false, "risk x": false, "!": false,
		"clear": false, ". /etc/rules": false, "merge,s /r": false, ": .rules": false, "dir-merge,- .r": false, "- r P": false, "-_r": false, "": false,
		"-/ /r": false, "+r x": false, ". ./-": false, ": -": false,
		"P *": true, "P_*": true, "protect *": true, "protect_*": true, "protect,! *": true, "P! *": true, "P,! *": true, "P": true,
		"-r *": true, "-sr *": true, "-,r *": true, "exclude,r *": true, "exclude,sr_*": true, "merge,r /etc/rules": true, ".r x": true, "dir-merge,r .rules": true, ":,r .r": true,
		". -": true, "merge -": true, ".e_-": true, ". /dev/stdin": true, ". /proc/self/fd/0": true, "merge,- /dev/fd/63": true,
	} {
		err := CheckRules([]string{"- fine", rule}, nil)
		var extra *ExtraError
		if (err != nil) != refused || refused && !errors.As(err, &extra) {
			t.Errorf("%q: %v", rule, err)
		}
		if extra := CheckExtra([]string{"-f", rule}); (extra != nil) != refused {
			t.Errorf("%q after --: %v", rule, extra)
		}
	}
	for file, refused := range map[string]bool{"/etc/rules": false, "-x": false, "./-": false, "-": true, "/dev/stdin": true, "/dev/fd/0": true} {
		if err := CheckRules(nil, []string{file}); (err != nil) != refused {
			t.Errorf("rules in %q: %v", file, err)
		}
	}
}

func TestRuleFiles(t *testing.T) {
	got := RuleFiles([]string{"- x", ". a b", "merge,e /c", ": .per-dir", ".C"}, []string{"/d"}, []string{"--include-from=e", "--exclude-from", "f", "-zf. g", "--filter", "exclude /h", "--exclude=i"})
	if diff := cmp.Diff([]string{"a b", "/c", "/d", "e", "f", "g"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Which rules keep what is gone from the source is for rsync to say.
func TestRsyncKeepsWhatIsProtected(t *testing.T) {
	for _, rule := range []string{
		"- gone", "-s gone", "-p gone", "H gone", "R gone", "+r gone", "+ gone", "-! other", "hide,! other", "-/ gone",
		"P gone", "protect_gone", "P! other", "-r gone", "-,sr gone", "exclude,r gone", "exclude,rs_gone",
	} {
		dst := t.TempDir()
		write(t, dst+"/gone", "")
		if _, err := Run(t.Context(), Options{Source: Source{Path: t.TempDir()}, Dest: dst, Delete: true, Filter: []string{rule}}); err != nil {
			t.Errorf("%s: %v", rule, err)
		}
		_, err := os.Stat(dst + "/gone")
		if kept := err == nil; kept != parseFilter(rule).protects() {
			t.Errorf("%s: kept %v", rule, kept)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add("protect,! *")
	f.Add("-r_x")
	f.Add(". -")
	f.Fuzz(func(t *testing.T, rule string) {
		r := parseFilter(rule)
		if len(r.name)+len(r.modifiers)+len(r.pattern) > len(rule) {
			t.Errorf("%q: %+v", rule, r)
		}
		if err := CheckRules([]string{rule}, nil); r.protects() && err == nil {
			t.Errorf("%q is let pass", rule)
		}
	})
}
