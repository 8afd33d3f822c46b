package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestACommandAloneIsParsedAsInTheWholeGrammar parses the same words as the first argument, and after a flag, for which
// the whole grammar is built.
func TestACommandAloneIsParsedAsInTheWholeGrammar(t *testing.T) {
	root, err := wholeGrammar()
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{
		"", "--help", "-vh", "--hlep", "--version", "d", "a b", "a b c d e f", "list", "check d --json", "--color=never d -- -x", "d --color=pink",
	}
	for _, node := range root.Children {
		for _, name := range append([]string{node.Name}, node.Aliases...) {
			if _, options := new(grammar).root(name); len(options) != 1 {
				t.Errorf("%s: the whole grammar is built", name)
			}
			lines := lines
			if name != node.Name {
				lines = lines[1:8] // what an alias is may matter for its help and its arguments
			}
			for _, line := range lines {
				words := append([]string{name}, strings.Fields(line)...)
				alone, whole := parsed(words), parsed(append([]string{"-q"}, words...))
				alone.flags.Quiet = whole.flags.Quiet
				if !reflect.DeepEqual(alone, whole) {
					t.Errorf("%q:\n%s\nin the whole grammar:\n%s", words, alone.text, whole.text)
				}
			}
		}
	}
}

// outcome is what a command line becomes.
type outcome struct {
	text    string
	flags   flags
	command command
}

func parsed(words []string) outcome {
	var text bytes.Buffer
	g := &grammar{}
	command, err := parse(g, words, &text, &text)
	fmt.Fprintf(&text, "%T: %v", command, err)
	return outcome{text.String(), g.flags, command}
}
