// Patterns that exclude nothing by mistake.

package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// maxRules is how much of a file of rules is read.
const maxRules = 1 << 20

// Misplaced warns of patterns that begin with SRC's own path, or with "./": rsync compares them with paths that begin
// at SRC, so they match nothing.
func (s *Source) Misplaced(filter, exclude, excludeFrom, extra []string) []string {
	patterns := rsyncexec.ExcludePatterns(filter, exclude, extra)
	for _, name := range excludeFrom {
		if text, err := os.ReadFile(name); err == nil && len(text) <= maxRules {
			patterns = append(patterns, rsyncexec.FilePatterns(string(text))...)
		}
	}
	var warnings []string
	for _, pattern := range patterns {
		if right, wrong := misplaced(pattern, s.ownPaths()); wrong {
			warnings = append(warnings, fmt.Sprintf("the pattern %s excludes nothing, because patterns begin at SRC: %s", pattern, right))
		}
	}
	return warnings
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
