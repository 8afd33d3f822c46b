// From arguments to the exit code.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A command is one verb, parsed. Its run makes one call to the library and reports the result through the ui.
type command interface {
	run(ctx context.Context, u *ui, f *flags) error
}

// changer is a command that can change DEST, or the target of a restore. A dry run does not.
type changer interface{ changes() bool }

// hasDest is a command that works on a DEST.
type hasDest interface{ dest() string }

// takesRest is a command that uses the arguments after "--".
type takesRest interface{ takeRest(args []string) }

// A usageError is an invalid command line. verb is its command, if known.
type usageError struct {
	verb string
	err  error
}

// Error names the command, which kong does only sometimes.
func (e *usageError) Error() string {
	text := e.err.Error()
	if strings.HasPrefix(text, "unknown flag --include") || e.verb == "" && isForeign(text) {
		text, _, _ = strings.Cut(text, ",") // kong proposes the opposite, or a similar word
	}
	text = strings.Replace(text, `expected value value but got "EOL" (<EOL>)`, "its value is missing", 1) // as kong calls it
	if e.verb == "" || strings.HasPrefix(text, e.verb+": ") {
		return text
	}
	return e.verb + ": " + text
}

// Unwrap returns the cause.
func (e *usageError) Unwrap() error { return e.err }

// run is the whole program without the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	u := newUI(stdout, stderr)
	g := &grammar{}
	cmd, err := parse(g, args, stdout, stderr)
	if errors.Is(err, errHelpShown) {
		return exitOK
	}
	if err != nil {
		ours, _, _ := cutRest(args) // kong has not filled in the flags
		g.JSON = slices.Contains(ours, "--json")
	}
	u.configure(&g.flags)
	inv := invocation{args: args, flags: &g.flags, command: cmd}
	if err == nil {
		ctx, stop := watchSignals(context.Background(), u)
		defer stop()
		err = cmd.run(ctx, u, &g.flags)
		u.rsyncLines.release(ctx, err)
	}
	code := exitCode(err)
	if err != nil {
		u.fail(err, code, hints(err, inv))
	}
	return max(code, u.delivered(cmd))
}

// parse reads a command line. The arguments after the first "--" of a backup are for rsync and are hidden from kong,
// which would treat them as arguments of the command.
func parse(g *grammar, args []string, stdout, stderr io.Writer) (command, error) {
	out := stdout
	if len(args) == 0 {
		out = stderr
	}
	if len(args) == 0 {
		parser, err := newParser(g, "", out, stderr)
		if err == nil {
			_, err = parser.Parse([]string{"--help"})
		}
		if errors.Is(err, errHelpShown) {
			err = errNoArguments
		}
		return nil, &usageError{err: err}
	}
	if args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	parser, err := newParser(g, args[0], out, stderr)
	if err != nil {
		return nil, err
	}
	ours, rest, dashes := cutRest(args)
	ctx, err := parser.Parse(ours)
	if dashes && !takesMore(ctx, err) {
		ctx, err = parser.Parse(args) // for kong "--" ends the flags
	}
	if errors.Is(err, errVersionAsked) {
		g.JSON = slices.Contains(ours, "--json")
		return &versionCommand{}, nil
	}
	if err != nil {
		return nil, &usageError{verb: verbOf(err), err: err}
	}
	cmd, ok := ctx.Selected().Target.Addr().Interface().(command)
	if !ok {
		return nil, fmt.Errorf("%s: unknown command", ctx.Command())
	}
	if takes, ok := cmd.(takesRest); ok && dashes {
		takes.takeRest(rest)
	}
	return cmd, nil
}

// newParser makes the parser of a command line that begins with word.
func newParser(g *grammar, word string, stdout, stderr io.Writer) (*kong.Kong, error) {
	root, options := g.root(word)
	return kong.New(root, append(append(options, rawStrings()...),
		kong.Name("rsbtbackup"),
		kong.Description("Incremental backups with rsync into btrfs snapshots."),
		kong.NoDefaultHelp(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(func(v *kong.Value) string { return v.Help }),
		kong.Writers(helpWriter{stdout}, stderr),
	)...)
}

// takesMore reports whether the command, as far as it was recognised, passes the arguments after "--" to rsync.
func takesMore(ctx *kong.Context, err error) bool {
	var parseError *kong.ParseError
	if errors.As(err, &parseError) {
		ctx = parseError.Context
	}
	if ctx == nil || ctx.Selected() == nil {
		return false
	}
	_, takes := ctx.Selected().Target.Addr().Interface().(takesRest)
	return takes
}

// errNoArguments: the help that was shown is sufficient.
var errNoArguments = errors.New("no command given")

func cutRest(args []string) (ours, rest []string, found bool) {
	i := slices.Index(args, "--")
	if i < 0 {
		return args, nil, false
	}
	return args[:i], args[i+1:], true
}

// verbPath is a command with the one it belongs to: "config check".
func verbPath(node *kong.Node) string {
	if node.Parent == nil || node.Parent.Type == kong.ApplicationNode {
		return node.Name
	}
	return verbPath(node.Parent) + " " + node.Name
}

// verbOf returns the command that was recognised before parsing failed.
func verbOf(err error) string {
	var parseError *kong.ParseError
	if errors.As(err, &parseError) && parseError.Context != nil {
		if node := parseError.Context.Selected(); node != nil {
			return verbPath(node)
		}
	}
	return ""
}
