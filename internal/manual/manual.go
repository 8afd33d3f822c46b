// Package manual writes pages for man(1), as roff with the macros of man(7).
//
// Text is printed unchanged: a dash can be pasted into a shell, and nothing in it is read as a request.
package manual

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Page is a page that is being written. Use New, not the zero value.
type Page struct {
	b     strings.Builder
	begun bool // a section, in which a first paragraph needs no request of its own
}

// New begins a page: its name, section and one line about it, and what its foot says.
func New(name string, section int, about, version string, date time.Time) *Page {
	p := &Page{}
	fmt.Fprintf(&p.b, ".TH %s %d %s %s\n", argument(strings.ToUpper(name)), section, `"`+date.UTC().Format(time.DateOnly)+`"`, argument("rsbtbackup "+short(version)))
	// Left-aligned and without hyphens: what is in here is typed again.
	p.b.WriteString(".nh\n.ad l\n")
	p.Heading("Name")
	fmt.Fprintf(&p.b, "%s \\- %s\n", escape(name), escape(about))
	return p
}

// pseudo is what the Go command calls a commit without a tag: v0.0.0-20261129033510-0123456789ab, maybe with +dirty.
var pseudo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^v.*[-.][0-9]{14}-([0-9a-f]{12}(?:\+.*)?)$`) })

// short is a version that has room beside the date in the foot of a page of 80 columns.
func short(version string) string {
	if commit := pseudo().FindStringSubmatch(version); commit != nil {
		return commit[1]
	}
	return version
}

// String is the page.
func (p *Page) String() string { return p.b.String() }

// Heading begins a section.
func (p *Page) Heading(title string) {
	fmt.Fprintf(&p.b, ".SH %s\n", argument(strings.ToUpper(title)))
	p.begun = true
}

// Subheading begins a part of a section.
func (p *Page) Subheading(title string) {
	fmt.Fprintf(&p.b, ".SS %s\n", argument(title))
	p.begun = true
}

func (p *Page) paragraph() {
	if !p.begun {
		p.b.WriteString(".PP\n")
	}
	p.begun = false
}

// Paragraph writes text, wrapped as it may be.
func (p *Page) Paragraph(text string) {
	p.paragraph()
	p.text(text)
}

// Line is a paragraph in bold: a command line, or a heading of the smallest kind.
func (p *Page) Line(text string) {
	p.paragraph()
	fmt.Fprintf(&p.b, "\\fB%s\\fR\n", escape(text))
}

// Item writes a term, in bold, and what is said about it. Several texts are paragraphs.
func (p *Page) Item(term string, texts ...string) {
	p.begun = false
	fmt.Fprintf(&p.b, ".TP\n\\fB%s\\fR\n", escape(term))
	for i, text := range texts {
		if i > 0 {
			p.b.WriteString(".br\n")
		}
		p.text(text)
	}
}

// Verbatim writes lines as they are, indented.
func (p *Page) Verbatim(lines []string) {
	p.paragraph()
	p.b.WriteString(".RS 4\n.nf\n")
	for _, line := range lines {
		p.b.WriteString(started(escape(line)) + "\n")
	}
	p.b.WriteString(".fi\n.RE\n")
}

// Help writes a help text: paragraphs, lines indented by four as they are, and headings that end with a colon.
func (p *Page) Help(text string) {
	for _, block := range blocks(text) {
		switch {
		case strings.HasPrefix(block[0], indent):
			p.Verbatim(unindented(block))
		case len(block) == 1 && isHeading(block[0]):
			p.Line(block[0])
		default:
			p.Paragraph(strings.Join(block, " "))
		}
	}
}

const indent = "    "

// blocks are the lines between empty ones. Indented blocks that follow each other are one.
func blocks(text string) [][]string {
	var all [][]string
	begin := true
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		last := len(all) - 1
		switch {
		case line == "":
			begin = true
			continue
		case begin && last >= 0 && strings.HasPrefix(line, indent) && strings.HasPrefix(all[last][0], indent):
			all[last] = append(all[last], "", line)
		case begin || strings.HasPrefix(line, indent) != strings.HasPrefix(all[last][0], indent):
			all = append(all, []string{line})
		default:
			all[last] = append(all[last], line)
		}
		begin = false
	}
	return all
}

func unindented(lines []string) []string {
	cut := make([]string, len(lines))
	for i, line := range lines {
		cut[i] = strings.TrimPrefix(line, indent)
	}
	return cut
}

func isHeading(line string) bool {
	return strings.HasSuffix(line, ":") && strings.ToUpper(line) == line
}

// text wraps, for those who read the source of the page.
func (p *Page) text(text string) {
	line := ""
	for word := range strings.FieldsSeq(escape(text)) {
		if line != "" && len(line)+1+len(word) > 78 {
			p.b.WriteString(started(line) + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		p.b.WriteString(started(line) + "\n")
	}
}

// started keeps a line of text from being a request.
func started(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") || line == "" {
		return `\&` + line
	}
	return line
}

// escape escapes what roff would change: quotes that become curly, dashes that become hyphens.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r >= utf8.RuneSelf:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// argument is one argument of a macro.
func argument(s string) string { return `"` + escape(s) + `"` }
