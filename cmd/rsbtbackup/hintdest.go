// Hints for a wrong DEST: which one may be meant.

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/doctor"
)

const (
	mounted    = "to see whether its disk is mounted: findmnt -t btrfs"
	onThisSide = "DEST is a directory on this machine"
	needsBtrfs = "DEST has to be on btrfs; to see where that is mounted: findmnt -t btrfs"
)

// destHints: DEST is missing, or cannot be used.
func destHints(err error, i invocation) ([]string, bool) {
	if !errors.Is(err, rsbtbackup.ErrNotInitialized) && !errors.Is(err, rsbtbackup.ErrNotBtrfs) && !errors.Is(err, rsbtbackup.ErrDest) {
		return nil, false
	}
	for _, meant := range []func(invocation) []string{elsewhereDest, destFirst, jobAsDest} {
		if lines := meant(i); lines != nil {
			return lines, true
		}
	}
	switch {
	case errors.Is(err, rsbtbackup.ErrNotInitialized), errors.Is(err, rsbtbackup.ErrNotBtrfs):
		return noDestHints(err, i), true
	case errors.Is(err, rsbtbackup.ErrDest) && errors.Is(err, fs.ErrNotExist):
		return missingHints(i), true
	case errors.Is(err, rsbtbackup.ErrDest) && !errors.Is(err, fs.ErrPermission):
		return unusableHints(i), true
	}
	return nil, false
}

// missingHints: the disk of a missing DEST may not be mounted, or DEST was meant for the other host.
func missingHints(i invocation) []string {
	create := createHint(i.dest())
	_, isInit := i.command.(*initCommand)
	switch {
	case isInit && create == "":
		return []string{needsBtrfs}
	case isInit:
		return []string{create}
	}
	if around := destAround(i.dest()); around != "" {
		return []string{i.around(around)}
	}
	dest, err := filepath.Abs(i.dest())
	if err != nil || create == "" {
		return []string{mountHint(dest)}
	}
	if _, isBackup := i.command.(*backupCommand); isBackup {
		return []string{mountHint(dest), "to make it: " + create}
	}
	if near := destsBelow(filepath.Dir(dest)); len(near) > 0 {
		return i.below(near)
	}
	return []string{mountHint(dest), "to make it: " + create}
}

// mountHint is for a DEST whose disk may not be mounted.
func mountHint(dest string) string {
	if command := doctor.Unmounted(dest); command != nil {
		return "its disk is not mounted: " + quoteAll(command...)
	}
	return mounted
}

// unusableHints: DEST exists, but is not a directory, or is a part of another DEST.
func unusableHints(i invocation) []string {
	if around := destAround(i.dest()); around != "" {
		return []string{"to see what is in it: " + quoteAll("rsbtbackup", "list", around)}
	}
	return []string{"DEST has to be a directory; to see what it is: " + quoteAll("ls", "-ld", i.dest())}
}

// noDestHints is for an existing directory. Before a first backup init is the right command; otherwise the name is more
// often wrong, or the directory is a mount point.
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

// entryHints: an entry below DEST, of this program by its name, is of another kind than it makes.
func entryHints(err error, i invocation) ([]string, bool) {
	var failed *fs.PathError
	var renamed *os.LinkError
	path, why := "", err
	switch {
	case errors.As(err, &failed):
		path, why = failed.Path, failed.Err
	case errors.As(err, &renamed):
		path, why = renamed.New, renamed.Err
	}
	dest, pathErr := filepath.EvalSymlinks(i.dest())
	if pathErr == nil {
		dest, pathErr = filepath.Abs(dest)
	}
	entry, below := strings.CutPrefix(path, dest+"/")
	if pathErr != nil || !below || strings.Contains(entry, "/") && entry[0] != '.' { // it is in a backup
		return nil, false
	}
	other := failed != nil && failed.Op == "parse" || strings.Contains(why.Error(), "regular file")
	for _, kind := range []error{syscall.ENOTDIR, syscall.ELOOP, syscall.EISDIR, syscall.ENXIO} {
		other = other || errors.Is(why, kind)
	}
	switch {
	case other:
		return []string{"to see what it is: " + quoteAll("ls", "-ld", path), "to move it out of the way: " + quoteAll("mv", "-nT", path, path+".was")}, true
	case errors.Is(why, syscall.EBUSY):
		return []string{"if something is mounted on it: " + quoteAll("umount", path)}, true
	case errors.Is(why, syscall.EPERM) && os.Geteuid() == 0:
		var hints []string
		if failed != nil && strings.HasPrefix(failed.Op, "BTRFS_IOC_SNAP_DESTROY") {
			hints = append(hints, "if copy or send reads it, when that has ended: "+i.again())
		}
		return append(hints, immutableHint(path)), true
	}
	return nil, false
}

// isDest reports whether dir is a backup directory that this user may read.
func isDest(dir string) bool {
	_, err := rsbtbackup.List(context.Background(), dir)
	return err == nil
}

// destAround is the backup directory that contains dir, or would contain it; or empty.
func destAround(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "" // the reported error is more important
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
		return nil // the reported error is more important
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

// below returns the command line with each of the first of dests instead of DEST. It is not used for commands that
// delete.
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

// belowForBackup: of several DESTs the one to which SRC was backed up is meant. A DEST with another source is not.
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

// looks are commands to list each of the first of dests.
func looks(dests []string) []string {
	var lines []string
	for _, dest := range dests[:min(len(dests), destsShown)] {
		lines = append(lines, quoteAll("rsbtbackup", "list", dest))
	}
	return lines
}

// ownDest is the command that makes a DEST for SRC in dir, if its name can be derived.
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

// isSource reports whether SRC, as typed, is the recorded source.
func isSource(typed, recorded string) bool {
	abs, err := filepath.Abs(typed)
	return typed == recorded || err == nil && abs == recorded
}

// deletes reports commands that delete backups.
func deletes(c command) bool {
	_, isDelete := c.(*deleteCommand)
	return isDelete || isPrune(c)
}

// around is for a DEST that is inside another one, dest, or would be.
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

// createHint makes a DEST. It is empty if init would refuse it because dir is not on btrfs.
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

// swapped is the same command line with SRC and DEST exchanged.
func (i invocation) swapped(b *backupCommand) string {
	words := slices.Clone(i.args)
	src, dest := slices.Index(words, b.Src), i.destAt()
	if src < 0 || dest < 0 {
		return quoteAll("rsbtbackup", "backup", b.Dest, b.Src)
	}
	words[src], words[dest] = words[dest], words[src]
	return quoteAll(append([]string{"rsbtbackup"}, words...)...)
}

// destAt is the index of DEST in args: it is the first argument, except for backup, where it comes after SRC.
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
