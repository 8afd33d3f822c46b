package units

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

var plain = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_@+=:,./-]+$`) })

// word quotes s as one word of a list of paths or arguments; see systemd.syntax(7). % begins a specifier.
func word(s string) string {
	if plain().MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '%':
			b.WriteString("%%")
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// argument quotes a word of ExecStart=, where $ begins a variable.
func argument(s string) string { return strings.ReplaceAll(word(s), "$", "$$") }

func words(list []string, prefix string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = word(prefix + s)
	}
	return strings.Join(quoted, " ")
}

// shellWord quotes s as one word of a line of a crontab. cron replaces a % without a backslash by a line break.
func shellWord(s string) string {
	if !plain().MatchString(s) {
		s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return strings.ReplaceAll(s, "%", `\%`)
}
