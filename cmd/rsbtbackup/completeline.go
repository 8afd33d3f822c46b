// The command line before the cursor: from a text to words, and back for the completed word.

package main

import "strings"

// A typedLine is the command under the cursor, up to it.
type typedLine struct {
	words    []string // unquoted; the last is the one under the cursor, and may be empty
	redirect bool     // the word under the cursor is a file for > or <
	quote    byte     // the open quote in it, or 0
	kept     int      // how many of its bytes bash keeps
}

// A lexer splits a line as a shell does, but expands only ~/ at the beginning of a word. The differences between shells
// do not matter here.
type lexer struct {
	breaks string // characters at which bash completes again within a word
	home   string
	fish   bool

	line   typedLine
	word   []byte
	begun  bool // there is a word, which may be empty: ''
	tilde  bool // it begins with an unquoted ~
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

// escapes reports whether a backslash escapes the next character.
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

// end ends a word. The word of a redirection is not an argument.
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

// bashWord is the text with which bash must replace the part of the word under the cursor that it does not keep, so
// that the whole becomes word.
func (t typedLine) bashWord(word string) string {
	var b strings.Builder
	for i, r := range word {
		if i < t.kept {
			continue
		}
		switch {
		case t.quote == '\'' && r == '\'':
			b.WriteString(`'\''`)
		case t.quote == '"' && r == '!': // within double quotes the backslash would remain
			b.WriteString(`"\!"`)
		case t.quote == '"' && strings.ContainsRune("\"$\\`", r), t.quote == 0 && i == 0 && r == '~', t.quote == 0 && special(r):
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteRune(r)
		}
	}
	text := b.String()
	// Bash adds the closing quote, unless the last character could be one.
	if t.quote != 0 && text != "" && text[len(text)-1] == t.quote {
		text += string(t.quote)
	}
	return text
}

// special reports characters with a special meaning to bash in a word.
func special(r rune) bool { return strings.ContainsRune(" !\"#$&'()*;<>?[\\]^`{|}", r) }
