package rsyncexec

import (
	"path"
	"strings"
)

// LeftOut returns the paths that rules exclude explicitly: those, relative to the source, of anchored patterns without
// wildcards, such as --exclude=/backup or --filter='- /mnt/b\[1]'. The rules are those of Options.Filter,
// Options.Exclude and Options.Extra. It does not matter whether an earlier rule includes such a path: the user has
// named it.
func LeftOut(filter, exclude, extra []string) []string {
	filter, exclude = withExtra(filter, exclude, extra)
	var paths []string
	for _, rule := range filter {
		if r := parseFilter(rule); r.name == "-" && r.modifiers == "" {
			paths = appendNamed(paths, r.pattern)
		}
	}
	for _, pattern := range exclude {
		paths = appendNamed(paths, strings.TrimPrefix(pattern, "- "))
	}
	return paths
}

// withExtra adds the rules given as rsync's own options.
func withExtra(filter, exclude, extra []string) (allFilter, allExclude []string) {
	for _, option := range options(extra) {
		switch option.rule.long {
		case "filter":
			filter = append(filter[:len(filter):len(filter)], option.value)
		case "exclude":
			exclude = append(exclude[:len(exclude):len(exclude)], option.value)
		}
	}
	return filter, exclude
}

func appendNamed(paths []string, pattern string) []string {
	if named, ok := namedPath(pattern); ok {
		return append(paths, named)
	}
	return paths
}

// namedPath is the one path that a pattern matches. rsync treats a backslash as an escape only in a pattern with a
// wildcard, escaped or not.
func namedPath(pattern string) (string, bool) {
	named, anchored := strings.CutPrefix(pattern, "/")
	named = strings.TrimSuffix(named, "/")
	if strings.ContainsAny(named, wildcards) {
		var plain bool
		if named, plain = unescapeWildcards(named); !plain {
			return "", false
		}
	}
	return named, anchored && path.Clean("/"+named) == "/"+named && named != ""
}

// unescapeWildcards is false if the pattern has an unescaped wildcard.
func unescapeWildcards(pattern string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case strings.IndexByte(wildcards, c) >= 0:
			return "", false
		case c == '\\' && i+1 == len(pattern):
			return "", false
		case c == '\\':
			i++
			c = pattern[i]
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
