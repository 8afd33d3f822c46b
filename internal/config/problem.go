package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrConfig is matched by every error about the content of a file.
var ErrConfig = errors.New("bad config")

// Problem is one mistake in a file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // 0: the file as a whole
	Text    string `json:"text"`
	Excerpt string `json:"excerpt,omitempty"` // the line
	Hint    string `json:"hint,omitempty"`    // a command that helps
}

// String is FILE:LINE: TEXT.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Problems is an error: all mistakes, by file and line. It matches ErrConfig.
type Problems []Problem

// Error is one line: the first problem, and how many more there are.
func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0].String()
	}
	return fmt.Sprintf("%s (and %d more)", p[0], len(p)-1)
}

// Is matches ErrConfig.
func (p Problems) Is(target error) bool { return target == ErrConfig }

// sorted returns the problems in the order of files, then of lines, each once.
func (p Problems) sorted(files []string) Problems {
	order := func(name string) int { return slices.Index(files, name) }
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(order(a.File)-order(b.File), a.Line-b.Line)
	})
	return slices.Compact(p)
}

// nearest returns the name that is most likely meant by word, or "".
func nearest(word string, names []string) string {
	best, least := "", len(word)/3+2
	for _, name := range names {
		if d := editDistance(strings.ToLower(word), name); d < least {
			best, least = name, d
		}
	}
	return best
}

// editDistance is how many letters must be inserted, removed, replaced or swapped with their neighbour.
func editDistance(a, b string) int {
	older, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		older, last = last, row
	}
	return last[len(b)]
}
