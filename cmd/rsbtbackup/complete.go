// rsbtbackup __complete SHELL -- LINE: called for the Tab key.

package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// completeCommand is in no help: the scripts in completion.go call it. It takes no lock, changes nothing and has no
// errors: a DEST that cannot be read has no candidates.
type completeCommand struct {
	Shell string   `arg:"" name:"SHELL" enum:"bash,zsh,fish"`
	Typed []string `arg:"" name:"LINE" optional:""`
}

func (c *completeCommand) takeRest(args []string) { c.Typed = args }

// answerTime is how long the Tab key may wait for a disk that is asleep or a server that does not answer.
const answerTime = 2 * time.Second

func (c *completeCommand) run(ctx context.Context, u *ui, _ *flags) error {
	root, err := wholeGrammar()
	if err != nil || len(c.Typed) == 0 {
		return err
	}
	line := c.line()
	lines := inTime(ctx, answerTime, func(ctx context.Context) []string { return c.answer(ctx, root, line) })
	if len(lines) > 0 {
		u.write(u.stdout, strings.Join(lines, "\n")+"\n")
	}
	return nil
}

// inTime returns the result of f, or nil if that takes longer: a call that hangs in the kernel does not end with ctx.
func inTime(ctx context.Context, most time.Duration, f func(context.Context) []string) []string {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	lines := make(chan []string, 1)
	go func() { lines <- f(ctx) }()
	select {
	case l := <-lines:
		return l
	case <-ctx.Done():
		return nil
	}
}

// line is LINE; from bash it is followed by the characters that break a word.
func (c *completeCommand) line() typedLine {
	l := lexer{home: os.Getenv("HOME"), fish: c.Shell == "fish"}
	if len(c.Typed) > 1 {
		l.breaks = c.Typed[1]
	}
	return l.read(c.Typed[0])
}

// answer returns the lines to print. The first is "files" or "directories" if the shell completes these, "unfinished"
// if no space is added after the only candidate, or "words".
func (c *completeCommand) answer(ctx context.Context, root *kong.Node, line typedLine) []string {
	if line.redirect {
		return []string{"files"}
	}
	q := question{}
	if len(line.words) > 1 {
		q = ask(root, line.words[1:]) // the first is the program
	}
	switch q.completer {
	case files:
		return []string{"files"}
	case directories:
		return []string{"directories"}
	}
	found := candidates(ctx, q)
	first := "words"
	if len(found) == 1 && found[0].unfinished() {
		first = "unfinished"
	}
	lines := []string{first}
	for _, f := range found {
		if c.Shell == "bash" {
			lines = append(lines, line.bashWord(f.text))
		} else {
			lines = append(lines, f.text+"\t"+f.note)
		}
	}
	return lines
}
