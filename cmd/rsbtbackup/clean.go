// Making text safe for a terminal, and for one line.

package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean escapes everything that is not a printable character: names and messages of the other host may contain line
// breaks, escape sequences that control the terminal (C0, C1, DEL), marks that change the reading direction, or invalid
// bytes.
func clean(s string) string {
	if isClean(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

func isClean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// oneLine is the text of err. Joined errors, each on its own line, are separated by semicolons. A line break in a path
// is left to clean.
func oneLine(err error) string {
	text := err.Error()
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return strings.Replace(text, inner.Error(), oneLine(inner), 1)
		}
	case interface{ Unwrap() []error }:
		return joinedLine(text, e.Unwrap())
	}
	return text
}

func joinedLine(text string, parts []error) string {
	var raw, lines []string
	for _, part := range parts {
		raw, lines = append(raw, part.Error()), append(lines, oneLine(part))
	}
	if strings.Join(raw, "\n") == text {
		return strings.Join(lines, "; ")
	}
	for i := range raw {
		text = strings.Replace(text, raw[i], lines[i], 1)
	}
	return text
}
