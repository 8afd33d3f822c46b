// Command compare measures rsbtbackup beside other backup programs and writes a table, JSON and a chart.
//
// All programs do the same in turn, round by round, on the same loopback filesystems: machines are noisy, and only what
// was measured side by side says anything. A program that is not installed is reported as missing. Each time ends when
// the destination has it on the disk (sync -f).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// options are those of the command line.
type options struct {
	program string // rsbtbackup
	out     string // directory of what is written
	quick   bool
	only    []string // scenarios; empty: all
	with    []string // programs; empty: all
	rounds  int
	files   int // small ones; 0: as many as usual
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("mounting images needs root")
	}
	dir, err := os.MkdirTemp("", "rsbtbackup-compare.")
	if err != nil {
		return err
	}
	lab := &lab{ctx: ctx, dir: dir, options: o, size: sizesOf(o)}
	measured, err := lab.run()
	if closed := lab.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return measured.write(o.out)
}

func parse(args []string) (options, error) {
	var o options
	var only, with string
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.StringVar(&o.program, "program", "./rsbtbackup", "the rsbtbackup to measure")
	f.StringVar(&o.out, "out", ".work/bench", "where table, JSON and chart go")
	f.BoolVar(&o.quick, "quick", false, "small trees and few rounds: under three minutes")
	f.StringVar(&only, "only", "", "the scenarios whose names contain one of these words, separated by commas")
	f.StringVar(&with, "with", "", "the programs whose names contain one of these words, beside rsbtbackup")
	f.IntVar(&o.files, "files", 0, "how many small files there are")
	f.IntVar(&o.rounds, "rounds", 0, "how often each is measured; 0: 5, or 3 with -quick")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.only, o.with = words(only), words(with)
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 3
		}
	}
	var err error
	o.program, err = filepath.Abs(o.program)
	return o, err
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// wanted reports whether a scenario is to be measured.
func (o options) wanted(name string) bool { return hasAny(name, o.only) }

func hasAny(name string, words []string) bool {
	return len(words) == 0 || slices.ContainsFunc(words, func(word string) bool { return strings.Contains(name, word) })
}
