package rsyncexec

import "strings"

// ExcludePatterns returns the exclude patterns in Options.Filter, Options.Exclude and Options.Extra, as they were
// given; not those in files of rules.
func ExcludePatterns(filter, exclude, extra []string) []string {
	filter, exclude = withExtra(filter, exclude, extra)
	var patterns []string
	for _, rule := range filter {
		if r := parseFilter(rule); r.name == "-" {
			patterns = append(patterns, r.pattern)
		}
	}
	for _, pattern := range exclude {
		patterns = append(patterns, strings.TrimPrefix(pattern, "- "))
	}
	return patterns
}

// FilePatterns returns the exclude patterns in the text of a file for Options.ExcludeFrom.
func FilePatterns(text string) []string {
	var patterns []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.ContainsAny(line[:1], "#;") || strings.HasPrefix(line, "+ ") || line == "!" {
			continue
		}
		patterns = append(patterns, strings.TrimPrefix(line, "- "))
	}
	return patterns
}
