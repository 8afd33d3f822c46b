// What a word on the command line may be, by the grammar.

package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A candidate is what a word may become.
type candidate struct{ text, note string }

// unfinished: more of the same word follows.
func (c candidate) unfinished() bool {
	return strings.HasSuffix(c.text, "/") || strings.HasPrefix(c.text, "--") && strings.HasSuffix(c.text, "=")
}

// completer says who knows the candidates.
type completer int

const (
	nobody      completer = iota // numbers, patterns and the like
	theGrammar                   // question.choices has them
	files                        // the shell
	directories                  // the shell
	backups                      // DEST
	paths                        // the backup
	jobNames                     // the config
	groupNames                   // the same
)

// completers has an entry for each name of an argument and placeholder of a flag. Values with an enum are not included.
var completers = map[string]completer{
	"SRC": directories, "DEST": directories, "TARGET": directories, "DIR": directories, "NEW": directories,
	"FILE": files, "PROGRAM": files,
	"BACKUP": backups, "A": backups, "B": backups,
	"PATH": paths, "JOB": jobNames, "GROUP": groupNames,
	"AGE": nobody, "COMMAND": nobody, "N": nobody, "PATTERN": nobody, "RATE": nobody, "RSYNC-ARG": nobody, "RULE": nobody,
	"NAME": nobody, "SIZE": nobody, "SPAN": nobody, "TEXT": nobody, "TIME": nobody, "WHEN": nobody,
}

// A question is what the word under the cursor can be.
type question struct {
	completer completer
	head      string      // the part of the word before the value: "--target="
	typed     string      // the beginning of the value
	choices   []candidate // those of the grammar, regardless of what is typed
	dashes    bool        // the word may begin with a dash, because "--" is before it
	given     given
}

// given has the last word of each argument by its name.
type given map[string]string

// backup is the one that paths are in: for history the latest.
func (g given) backup() string {
	for _, name := range []string{"B", "BACKUP"} {
		if g[name] != "" {
			return g[name]
		}
	}
	return "latest"
}

// ask reads words, without the name of the program, as kong does. The last is the one under the cursor.
func ask(root *kong.Node, words []string) question {
	if len(words) > 1 && words[0] == "help" {
		words = words[1:]
	}
	w := walk{node: root, given: given{}}
	for _, word := range words[:len(words)-1] {
		w.take(word)
	}
	return w.question(words[len(words)-1])
}

// walk is the state after a part of a command line.
type walk struct {
	node  *kong.Node
	next  int        // of the arguments of node
	flag  *kong.Flag // needs its value
	ended bool       // no flags from here on
	lost  bool       // the rest is not ours
	given given
}

func (w *walk) take(word string) {
	switch {
	case w.flag != nil:
		w.flag = nil
	case w.ended || word == "-" || !strings.HasPrefix(word, "-"):
		w.takeArgument(word)
	default:
		w.takeFlag(word)
	}
}

func (w *walk) takeArgument(word string) {
	if len(w.node.Children) > 0 {
		i := slices.IndexFunc(w.node.Children, func(n *kong.Node) bool { return n.Name == word || slices.Contains(n.Aliases, word) })
		if w.lost = i < 0; !w.lost {
			w.node = w.node.Children[i]
		}
		return
	}
	argument := w.argument()
	if w.lost = argument == nil; w.lost {
		return
	}
	w.given[argument.Name] = word
	if !argument.IsCumulative() {
		w.next++
	}
}

// takeFlag: for kong a list of arguments ends at the first flag.
func (w *walk) takeFlag(word string) {
	if argument := w.argument(); argument != nil && w.given[argument.Name] != "" {
		w.next++
	}
	if word == "--" {
		w.ended = true
		if w.node.Type == kong.CommandNode {
			_, w.lost = w.node.Target.Addr().Interface().(takesRest)
		}
		return
	}
	if name, long := strings.CutPrefix(word, "--"); long {
		if flag := w.flagNamed(name); takesValue(flag) {
			w.flag = flag
		}
		return
	}
	for i, short := range word[1:] {
		flag := w.flagShort(short)
		if takesValue(flag) {
			if i+1+len(string(short)) == len(word) {
				w.flag = flag
			}
			return // the rest is its value
		}
	}
}

// argument is the next one, or nil.
func (w *walk) argument() *kong.Positional {
	if w.next < len(w.node.Positional) {
		return w.node.Positional[w.next]
	}
	return nil
}

// flags are the possible flags here. kong accepts the flags of a command only after its name.
func (w *walk) flags() []*kong.Flag { return slices.Concat(w.node.AllFlags(true)...) }

// flagNamed returns nil for an unknown flag, and for one that has its value with it.
func (w *walk) flagNamed(name string) *kong.Flag {
	return w.flagWhere(func(f *kong.Flag) bool { return f.Name == name })
}

func (w *walk) flagShort(short rune) *kong.Flag {
	return w.flagWhere(func(f *kong.Flag) bool { return f.Short == short })
}

func (w *walk) flagWhere(is func(*kong.Flag) bool) *kong.Flag {
	flags := w.flags()
	if i := slices.IndexFunc(flags, is); i >= 0 {
		return flags[i]
	}
	return nil
}

func takesValue(f *kong.Flag) bool { return f != nil && !f.IsBool() }

func (w *walk) question(word string) question {
	q := question{typed: word, dashes: w.ended, given: w.given}
	name, value, hasValue := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	switch {
	case w.lost:
	case w.flag != nil:
		q.about(w.flag.Value, w.flag.PlaceHolder)
	case !w.ended && strings.HasPrefix(word, "--") && hasValue:
		if flag := w.flagNamed(name); takesValue(flag) {
			q.head, q.typed = "--"+name+"=", value
			q.about(flag.Value, flag.PlaceHolder)
		}
	case !w.ended && strings.HasPrefix(word, "-"):
		q.completer, q.choices = theGrammar, flagChoices(w.flags())
	case len(w.node.Children) > 0:
		q.completer, q.choices = theGrammar, verbChoices(w.node.Children)
	case w.argument() != nil:
		q.about(w.argument(), w.argument().Name)
	}
	return q
}

// about asks for a value with this name in the help.
func (q *question) about(value *kong.Value, name string) {
	choices := overwrites
	switch {
	case value.Enum != "":
		choices = value.EnumSlice()
	case value.Name == "overwrite":
	default:
		q.completer = completers[name]
		if host, _, colon := strings.Cut(q.typed, ":"); colon && !strings.Contains(host, "/") && q.completer == directories {
			q.completer = nobody // it is on another machine
		}
		return
	}
	q.completer = theGrammar
	for _, choice := range choices {
		q.choices = append(q.choices, candidate{text: choice})
	}
}

func verbChoices(nodes []*kong.Node) []candidate {
	var choices []candidate
	for _, n := range nodes {
		if !n.Hidden {
			choices = append(choices, candidate{n.Name, firstSentence(n.Help)})
		}
	}
	return choices
}

func flagChoices(flags []*kong.Flag) []candidate {
	var choices []candidate
	for _, f := range flags {
		text, note := "--"+f.Name, firstSentence(f.Help)
		if takesValue(f) {
			text += "="
		}
		choices = append(choices, candidate{text, note})
		if f.Tag.Negatable != "" {
			choices = append(choices, candidate{"--no-" + f.Name, "The opposite of --" + f.Name})
		}
	}
	return choices
}

// firstSentence is the first sentence, without its full stop.
func firstSentence(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(first, ".")
}
