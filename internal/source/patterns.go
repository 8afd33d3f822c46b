// Patterns that exclude nothing by mistake.

package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// maxRules is how much of a file of rules is read.
const maxRules = 1 << 20

// Misplaced warns of patterns that begin with SRC's own path, or with "./": rsync compares them with paths that begin
// at SRC, so they match nothing. It also warns of filesystems of the kernel that no pattern leaves out, unless more
// than patterns may leave them out: other rules, marks, or that SRC is frozen, because a snapshot has no mounts.
func (s *Source) Misplaced(r Reading, frozen bool) []string {
	patterns := rsyncexec.ExcludePatterns(r.Filter, r.Exclude, r.Extra)
	for _, name := range r.ExcludeFrom {
		if text, err := os.ReadFile(name); err == nil && len(text) <= maxRules {
			patterns = append(patterns, rsyncexec.FilePatterns(string(text))...)
		}
	}
	var warnings []string
	for _, pattern := range patterns {
		if right, wrong := misplaced(pattern, s.ownPaths()); wrong {
			warnings = append(warnings, fmt.Sprintf("the pattern %s excludes nothing, because patterns begin at SRC: %s", pattern, right))
		} else if path, right := s.named(pattern); right != "" {
			warnings = append(warnings, fmt.Sprintf("the pattern %s does not exclude %s, because patterns begin at SRC: give %s", pattern, path, right))
		}
	}
	if paths := enteredBy(patterns, s.unending); len(paths) > 0 && !frozen && !r.hasOtherRules() {
		warnings = append(warnings, "below SRC are filesystems of the kernel, of which a copy fails or never ends: "+say.QuoteSome(paths)+"; to leave them out: -x"+excluding(paths))
	}
	return warnings
}

// hasOtherRules reports whether there are rules that Misplaced does not know.
func (r Reading) hasOtherRules() bool {
	return len(r.Filter) > 0 || len(r.Marks.Present) > 0 || r.Marks.Caches || slices.ContainsFunc(r.Extra, func(arg string) bool {
		return strings.HasPrefix(arg, "-F") || strings.HasPrefix(arg, "-f") || strings.HasPrefix(arg, "--filter") || strings.HasPrefix(arg, "--exclude-from")
	})
}

// excluding is the other way to leave out paths, if it can be typed as it is.
func excluding(paths []string) (text string) {
	const most = 5
	if len(paths) > most || slices.ContainsFunc(paths, func(path string) bool { return strings.ContainsFunc(path, isSpecial) }) {
		return ""
	}
	return ", or --exclude=/" + strings.Join(paths, " --exclude=/")
}

// isSpecial reports whether a character may mean something to a shell, or to rsync in a pattern.
func isSpecial(c rune) bool {
	return !strings.ContainsRune("/._+-", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c)
}

// enteredBy returns the paths that no pattern leaves out, without those below another of them.
func enteredBy(patterns, paths []string) (entered []string) {
	for _, path := range paths { // what is mounted below another path comes later
		if !at.Covered(path, entered) && !slices.ContainsFunc(patterns, func(pattern string) bool { return leavesOut(pattern, path) }) {
			entered = append(entered, path)
		}
	}
	return entered
}

// leavesOut reports whether a pattern leaves out a path, all that is in it, or anything above it; in doubt it does.
func leavesOut(pattern, rel string) bool {
	for _, all := range []string{"/***", "/**", "/*"} {
		pattern = strings.TrimSuffix(pattern, all)
	}
	if pattern == "" || strings.Contains(pattern, "**") || matches(pattern, rel) {
		return true
	}
	pattern = strings.TrimRight(pattern, "/")
	for ; rel != "."; rel = filepath.Dir(rel) {
		name := "/" + rel
		if !strings.Contains(pattern, "/") {
			name = filepath.Base(rel)
		}
		if ok, err := filepath.Match(pattern, name); ok || err != nil {
			return true
		}
	}
	return false
}

// named reports a pattern that is the path of something below a local SRC, as it is written outside of rsync: through a
// symlink, from the working directory, or from home. right is the pattern for it, empty if that is no other one.
func (s *Source) named(pattern string) (path, right string) {
	name := strings.TrimRight(pattern, "/")
	if !s.Local() || !strings.Contains(name, "/") || strings.ContainsAny(name, "*?[") {
		return "", ""
	}
	if below, ok := strings.CutPrefix(name, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", ""
		}
		name = filepath.Join(home, below)
	} else if strings.HasPrefix(name, "/") {
		if _, err := os.Lstat(filepath.Join(s.Spec.Path, name)); !errors.Is(err, fs.ErrNotExist) {
			return "", "" // it is a path below SRC, too
		}
	}
	path, errPath := resolved(name)
	root, errRoot := resolved(s.Spec.Path)
	if errPath != nil || errRoot != nil {
		return "", ""
	}
	rel, inside := strings.CutPrefix(path, strings.TrimRight(root, "/")+"/")
	if !inside || matches(pattern, rel) {
		return "", ""
	}
	return path, "/" + rel + strings.Repeat("/", min(1, len(pattern)-len(strings.TrimRight(pattern, "/"))))
}

// matches reports whether a pattern without wildcards leaves out a path, or anything above it.
func matches(pattern, rel string) bool {
	pattern = strings.TrimRight(pattern, "/")
	if anchored, ok := strings.CutPrefix(pattern, "/"); ok {
		return rel == anchored || strings.HasPrefix(rel, anchored+"/")
	}
	return strings.Contains("/"+rel+"/", "/"+pattern+"/")
}

// resolved is the absolute path of what is there, without symlinks.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// ownPaths are the paths by which a pattern may mean SRC, without those that also exist below SRC.
func (s *Source) ownPaths() []string {
	paths := []string{s.Spec.Path}
	if s.Local() {
		if real, err := filepath.EvalSymlinks(s.Spec.Path); err == nil && real != s.Spec.Path {
			paths = append(paths, real)
		}
	}
	var own []string
	for _, path := range paths {
		path = strings.TrimRight(path, "/")
		if !strings.HasPrefix(path, "/") {
			continue
		}
		if s.Local() {
			if _, err := os.Lstat(filepath.Join(s.Spec.Path, path)); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		own = append(own, path)
	}
	return own
}

// misplaced is pure. right says what to use instead.
func misplaced(pattern string, own []string) (right string, wrong bool) {
	if rest, ok := strings.CutPrefix(pattern, "./"); ok {
		return "give /" + rest, true
	}
	for _, path := range own {
		if strings.TrimRight(pattern, "/") == path {
			return "it is SRC itself", true
		}
		if rest, ok := strings.CutPrefix(pattern, path+"/"); ok {
			return "give /" + rest, true
		}
	}
	return "", false
}
