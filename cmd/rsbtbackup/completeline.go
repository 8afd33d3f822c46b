// What stands on a command line before the cursor: from a text to words, and back for the one that is completed.

package main

import "strings"

// A typedLine is the command under the cursor, up to it.
type typedLine struct {
	words    []string // unquoted; the last is the one under the cursor, and may be empty
	redirect bool     // that one is a file for > or <
	quote    byte     // the quote that is open in it, or 0
	kept     int      // how many of its bytes bash leaves as they are
}

// A lexer reads a line as a shell does, but expands only ~/ at the beginning of a word. All shells agree where it
// matters.
type lexer struct {
	breaks string // at which bash begins to complete anew within a word
	home   string
	fish   bool

	line   typedLine
	word   []byte
	begun  bool // there is a word, which may be empty: ''
	tilde  bool // it begins with one that is not quoted
	broken int  // its length at the last break
	opened int  // its length where the quote was opened
}

func (l *lexer) read(text string) typedLine {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && l.escapes(text[i+1:]):
			l.begun = true
			if i++; i < len(text) {
				l.word = append(l.word, text[i])
			}
		case c == l.line.quote && c != 0:
			l.line.quote = 0
		case l.line.quote != 0:
			l.word = append(l.word, c)
		case c == '\'' || c == '"':
			l.begun, l.line.quote, l.opened = true, c, len(l.word)
		case c == ' ' || c == '\t' || c == '\n':
			l.end()
		case c == '<' || c == '>':
			if strings.Trim(string(l.word), "0123456789") == "" {
				l.word, l.begun = nil, false // it is the number of a descriptor
			}
			l.end()
			l.line.redirect = true
		default:
			l.plain(c)
		}
	}
	l.line.words = append(l.line.words, string(l.word))
	l.line.kept = l.broken
	if l.line.quote != 0 {
		l.line.kept = l.opened
	}
	return l.line
}

func (l *lexer) plain(c byte) {
	l.tilde = l.tilde || c == '~' && !l.begun
	l.begun = true
	l.word = append(l.word, c)
	if strings.IndexByte(l.breaks, c) >= 0 {
		l.broken = len(l.word)
	}
}

// escapes reports whether a backslash takes the meaning from what follows it.
func (l *lexer) escapes(next string) bool {
	special := ""
	switch {
	case l.line.quote == 0:
		return true
	case l.line.quote == '\'' && l.fish:
		special = `'\`
	case l.line.quote == '"' && l.fish:
		special = `"$\`
	case l.line.quote == '"':
		special = "\"$\\`"
	}
	return next != "" && strings.IndexByte(special, next[0]) >= 0
}

// end ends a word. That of a redirection is no argument.
func (l *lexer) end() {
	if !l.begun {
		return
	}
	word := string(l.word)
	if l.tilde && (word == "~" || strings.HasPrefix(word, "~/")) {
		word = l.home + word[1:]
	}
	if !l.line.redirect {
		l.line.words = append(l.line.words, word)
	}
	l.line.redirect = false
	l.word, l.begun, l.tilde, l.broken = nil, false, false, 0
}

// bashWord is what bash has to put in the place of what it does not keep of the
// word under the cursor, for that to become word.
func (t typedLine) bashWord(word string) string {
	var b strings.Builder
	for i, r := range word {
		if i < t.kept {
			continue
		}
		switch {
		case t.quote == '\'' && r == '\'':
			b.WriteString(`'\''`)
		case t.quote == '"' && r == '!': // in double quotes the backslash would stay
			b.WriteString(`"\!"`)
		case t.quote == '"' && strings.ContainsRune("\"$\\`", r), t.quote == 0 && i == 0 && r == '~', t.quote == 0 && special(r):
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteRune(r)
		}
	}
	text := b.String()
	// Bash closes the quote, unless it takes the last character for that.
	if t.quote != 0 && text != "" && text[len(text)-1] == t.quote {
		text += string(t.quote)
	}
	return text
}

// special reports characters that are special to bash in a word.
func special(r rune) bool { return strings.ContainsRune(" !\"#$&'()*;<>?[\\]^`{|}", r) }
