// Hints for a DEST that is none: which one may be meant.

package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rsbtbackup/rsbtbackup"
)

const (
	mounted    = "to see whether its disk is mounted: findmnt -t btrfs"
	needsBtrfs = "DEST has to be on btrfs; to see where that is mounted: findmnt -t btrfs"
)

// noDestHints is for a directory that is there. To make a backup directory of
// it is the thing to do before a first backup: elsewhere it is more often a
// wrong name, or the place where a disk is to be mounted.
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
		return []string{i.around(around)}
	}
	below := destsBelow(i.dest())
	switch {
	case isBackup && len(below) > 0:
		return i.belowForBackup(b, below)
	case len(below) > 0:
		return i.below(below)
	case errors.Is(err, rsbtbackup.ErrNotBtrfs):
		return []string{needsBtrfs}
	case isBackup:
		return []string{quoteAll("rsbtbackup", "init", i.dest())}
	}
	return []string{mounted, "to make it a backup directory: " + quoteAll("rsbtbackup", "init", i.dest())}
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

// destsBelow are the backup directories in dir.
func destsBelow(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // the error that is told has to do
	}
	var dests []string
	for _, entry := range entries {
		if below := filepath.Join(dir, entry.Name()); entry.IsDir() && isDest(below) {
			dests = append(dests, below)
		}
	}
	return dests
}

const destsShown = 3

// below is the command line with each of the first of dests in DEST's place. A
// command that deletes is never made to do so where nobody said.
func (i invocation) below(dests []string) []string {
	if deletes(i.command) {
		return looks(dests)
	}
	var lines []string
	for _, dest := range dests[:min(len(dests), destsShown)] {
		lines = append(lines, i.withDest(dest))
	}
	return lines
}

// belowForBackup: of several DESTs it is the one that SRC was backed up to. One
// made from something else is none for SRC.
func (i invocation) belowForBackup(b *backupCommand, dests []string) []string {
	var fit []string
	for _, dest := range dests {
		if l, err := rsbtbackup.List(context.Background(), dest); err == nil && (len(l.Backups) == 0 || isSource(b.Src, lastSource(l.Backups))) {
			fit = append(fit, dest)
		}
	}
	if len(fit) > 0 {
		return i.below(fit)
	}
	return append(i.ownDest(b, i.dest()), looks(dests)...)
}

// looks are commands to look into each of the first of dests.
func looks(dests []string) []string {
	var lines []string
	for _, dest := range dests[:min(len(dests), destsShown)] {
		lines = append(lines, quoteAll("rsbtbackup", "list", dest))
	}
	return lines
}

// ownDest is how to give SRC a DEST of its own in dir, if that can be told.
func (i invocation) ownDest(b *backupCommand, dir string) []string {
	name := filepath.Base(strings.TrimRight(b.Src[strings.LastIndex(b.Src, ":")+1:], "/"))
	dest := filepath.Join(dir, name)
	_, err := os.Lstat(dest)
	create := createHint(dest)
	if name == "." || name == ".." || create == "" || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return []string{"to give it a DEST of its own: " + create}
}

// isSource tells whether what was typed as SRC is the source on record.
func isSource(typed, recorded string) bool {
	abs, err := filepath.Abs(typed)
	return typed == recorded || err == nil && abs == recorded
}

// deletes tells of commands that delete backups.
func deletes(c command) bool {
	_, isDelete := c.(*deleteCommand)
	return isDelete || isPrune(c)
}

// around is for a DEST that lies in one, dest, or would.
func (i invocation) around(dest string) string {
	list := quoteAll("rsbtbackup", "list", dest)
	l, err := rsbtbackup.List(context.Background(), dest)
	switch {
	case err != nil, deletes(i.command):
		return list
	case slices.ContainsFunc(i.backups(), func(ref string) bool { return !isRef(l, ref) }):
		return cmp.Or(i.spelled(), list)
	}
	return i.withDest(dest)
}

// backups are what was given as BACKUP.
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
		return []string{c.Backup}
	case *pinCommand:
		return []string{c.Name}
	case *unpinCommand:
		return []string{c.Name}
	case *deleteCommand:
		return slices.Clone(c.Names)
	}
	return nil
}

// isRef tells whether ref can be meant for one of the backups.
func isRef(l *rsbtbackup.Listing, ref string) bool {
	return ref == latest || strings.HasPrefix(ref, latest+"~") ||
		ref != "" && slices.ContainsFunc(l.Backups, func(b rsbtbackup.Snapshot) bool { return strings.HasPrefix(b.Name, ref) })
}

// inBackup takes a path that leads into a backup, as the Tab key makes it,
// apart: DEST, BACKUP and, if it goes on, PATH.
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

// backupAt is what to type for a backup, or for the link to the newest
// complete one.
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

// spelled is the same command line with each path that leads into a backup as
// the words it should have been, or empty where that makes no other one, or none
// that could be parsed.
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

// createHint makes a DEST, or is empty where init would refuse it: what there
// is of dir is not on btrfs.
func createHint(dir string) string {
	parent, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	var st syscall.Statfs_t
	for parent = filepath.Dir(parent); syscall.Statfs(parent, &st) != nil && parent != "/"; {
		parent = filepath.Dir(parent)
	}
	const btrfsMagic, writable = 0x9123683e, 2
	if int64(st.Type)&0xffffffff != btrfsMagic {
		return ""
	}
	install := []string{"install", "-d", "-m", "0700", dir}
	if syscall.Access(parent, writable) != nil {
		install = []string{"sudo", "install", "-d", "-m", "0700", "-o", strconv.Itoa(os.Geteuid()), dir}
	}
	return quoteAll(install...) + " && " + quoteAll("rsbtbackup", "init", dir)
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
