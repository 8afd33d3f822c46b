// Hints for a DEST that is none: which one may be meant.

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/rsbtbackup/rsbtbackup"
)

const (
	mounted    = "to see whether its disk is mounted: findmnt -t btrfs"
	needsBtrfs = "DEST has to be on btrfs; to see where that is mounted: findmnt -t btrfs"
)

// noDestHints is for a directory that is there. To make a backup directory of
// it is the thing to do before a first backup only: elsewhere it is a wrong
// name, or the place where a disk is to be mounted.
func noDestHints(err error, i invocation) []string {
	b, isBackup := i.command.(*backupCommand)
	_, isInit := i.command.(*initCommand)
	if isInit {
		return []string{needsBtrfs}
	}
	if isBackup && isDest(b.Src) {
		return []string{"SRC comes first, then DEST: " + i.swapped(b)}
	}
	if around := destAround(i.dest()); around != "" {
		return []string{i.withDest(around)}
	}
	if !isBackup {
		if below := destsBelow(i); len(below) > 0 {
			return below
		}
	}
	switch {
	case errors.Is(err, rsbtbackup.ErrNotBtrfs):
		return []string{needsBtrfs}
	case isBackup:
		return []string{quoteAll("rsbtbackup", "init", i.dest())}
	}
	return []string{mounted}
}

// isDest tells whether dir is a backup directory this user may look into.
func isDest(dir string) bool {
	_, err := rsbtbackup.List(context.Background(), dir)
	return err == nil
}

// destAround is the backup directory that dir lies in, or would, or empty.
func destAround(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "" // the error that is told has to do
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for dir != "/" {
		if dir = filepath.Dir(dir); isDest(dir) {
			return dir
		}
	}
	return ""
}

// destsBelow is the command line with each of the first backup directories in
// DEST in its place.
func destsBelow(i invocation) []string {
	const shown = 3
	entries, err := os.ReadDir(i.dest())
	if err != nil {
		return nil // the error that is told has to do
	}
	var lines []string
	for _, entry := range entries {
		if dir := filepath.Join(i.dest(), entry.Name()); len(lines) < shown && entry.IsDir() && isDest(dir) {
			lines = append(lines, i.withDest(dir))
		}
	}
	return lines
}

// withDest is the same command line with another DEST.
func (i invocation) withDest(dest string) string {
	words := slices.Clone(i.args)
	at := i.destAt()
	if at < 0 {
		return quoteAll("rsbtbackup", "list", dest)
	}
	words[at] = dest
	return quoteAll(append([]string{"rsbtbackup"}, words...)...)
}

// swapped is the same command line with SRC and DEST in each other's place.
func (i invocation) swapped(b *backupCommand) string {
	words := slices.Clone(i.args)
	src, dest := slices.Index(words, b.Src), i.destAt()
	if src < 0 || dest < 0 {
		return quoteAll("rsbtbackup", "backup", b.Dest, b.Src)
	}
	words[src], words[dest] = words[dest], words[src]
	return quoteAll(append([]string{"rsbtbackup"}, words...)...)
}

// destAt is where DEST stands in args: it is the first argument but for that
// of backup, which comes after SRC.
func (i invocation) destAt() int {
	from := 0
	if b, ok := i.command.(*backupCommand); ok {
		from = slices.Index(i.args, b.Src) + 1
	}
	at := slices.Index(i.args[from:], i.dest())
	if at < 0 {
		return at
	}
	return from + at
}
