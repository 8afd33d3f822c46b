// Hints for a path into a backup, as the Tab key completes it, in the place of DEST and BACKUP.

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

// backups are the BACKUP arguments.
func (i invocation) backups() []string {
	switch c := i.command.(type) {
	case *lsCommand:
		return []string{c.Backup}
	case *catCommand:
		return []string{c.Backup}
	case *diffCommand:
		return []string{c.A, c.B}
	case *restoreCommand:
		return []string{c.Backup}
	case *verifyCommand:
		if len(c.Names) == 0 {
			return []string{""} // all of them
		}
		return slices.Clone(c.Names)
	case *pinCommand:
		return []string{c.Name}
	case *unpinCommand:
		return []string{c.Name}
	case *deleteCommand:
		if len(c.Names) == 0 {
			return []string{""} // all of them
		}
		return slices.Clone(c.Names)
	}
	return nil
}

// isRef reports whether ref can mean one of the backups.
func isRef(l *rsbtbackup.Listing, ref string) bool {
	return ref == latest || strings.HasPrefix(ref, latest+"~") ||
		ref != "" && slices.ContainsFunc(l.Backups, func(b rsbtbackup.Snapshot) bool { return strings.HasPrefix(b.Name, ref) })
}

// inBackup splits a path into a backup, as the Tab key completes it: DEST, BACKUP and, if there is more, PATH.
func inBackup(path string) (dest string, words []string) {
	path = filepath.Clean(path)
	for dir := path; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		l, err := rsbtbackup.List(context.Background(), filepath.Dir(dir))
		if err != nil {
			continue
		}
		if words = backupAt(l, dir); words != nil && dir != path {
			words = append(words, strings.TrimPrefix(path, dir+"/"))
		}
		return filepath.Dir(dir), words
	}
	return "", nil
}

const latest = "latest"

// backupAt is the argument for a backup, or for the link to the newest complete one.
func backupAt(l *rsbtbackup.Listing, path string) []string {
	entry := filepath.Base(path)
	link, err := os.Readlink(path)
	for n, b := range l.Backups {
		switch {
		case b.Name == entry:
			return []string{entry}
		case err != nil || filepath.Base(link) != b.Name:
		case n == len(l.Backups)-1:
			return []string{latest}
		default:
			return []string{b.Name}
		}
	}
	return nil
}

// spelled is the same command line with each path into a backup split into the arguments that it should have been. It
// is empty if that is the same line, or cannot be parsed.
func (i invocation) spelled() string {
	var words []string
	dest, refs := "", i.backups()
	for _, word := range i.args {
		apart := []string{word}
		if dest == "" && isDest(word) {
			dest = word
		} else if into, found := inBackup(word); found != nil && dest == "" {
			dest, apart = into, append([]string{into}, found...)
		} else if found != nil && sameFile(into, dest) {
			apart = found
		} else if n := slices.Index(refs, word); n >= 0 && dest != "" {
			if _, found := inBackup(filepath.Join(dest, word)); found != nil {
				apart, refs = found, slices.Delete(refs, n, n+1)
			}
		}
		words = append(words, apart...)
	}
	c, err := parse(&grammar{}, words, io.Discard, io.Discard)
	if err != nil || slices.Equal(words, i.args) || deletes(c) && slices.Contains(words, latest) && !slices.Contains(i.args, latest) {
		return ""
	}
	return quoteAll(append([]string{"rsbtbackup"}, words...)...)
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
