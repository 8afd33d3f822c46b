// Quoting for a shell.

package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

var plainWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`) })

// quote makes s one word for a shell, to be pasted from a terminal: characters that clean would escape are written as
// $'...', which bash, zsh, ksh and POSIX.1-2024 support.
func quote(s string) string {
	switch {
	case plainWord().MatchString(s):
		return s
	case isClean(s):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + "'"
}

// name is a path for display: escaped by clean, or quoted for a shell if its own backslash or quotes could be mistaken
// for those added here.
func name(path string) string {
	if strings.Contains(path, `\`) || !isClean(path) && strings.HasPrefix(strings.TrimPrefix(path, "$"), "'") {
		return quote(path)
	}
	return clean(path)
}

// quoteAll makes a command line of its words.
func quoteAll(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}
