// Hints about the disk: no space on it, or damage.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rsbtbackup/rsbtbackup"
)

// diskHints: the disk does not return the data that was written.
func diskHints(err error, i invocation) ([]string, bool) {
	_, isVerify := i.command.(*verifyCommand)
	switch {
	case errors.Is(err, rsbtbackup.ErrDamaged) && !isVerify:
		return lostHints(i), true
	case diskFailed(err):
		return damageHints(i), true
	}
	return nil, false
}

// lostHints is about a backup that cannot be read at all.
func lostHints(i invocation) []string {
	if _, isDelete := i.command.(*deleteCommand); isDelete {
		return []string{"it can be removed only with the filesystem: save the others on a new one, by restore or btrfs send"}
	}
	return []string{"to see which are intact: " + quoteAll("rsbtbackup", "list", i.dest())}
}

// spaceHints: the disk is full, or --min-free asks for more than is possible.
func spaceHints(err error, i invocation) ([]string, bool) {
	var held *rsbtbackup.HeldError
	p, isMinFree := i.command.(*pruneCommand)
	_, isInit := i.command.(*initCommand)
	switch {
	case errors.Is(err, rsbtbackup.ErrUsage) && isMinFree && p.MinFree.Bytes > 0:
		return []string{"to see how large it is: " + quoteAll("df", "-h", p.Dest), "to use a percentage: " + i.again("--min-free=10%", "-n")}, true
	case errors.Is(err, rsbtbackup.ErrUsage) && isPrune(i.command):
		return []string{"to see what rules would delete: " + quoteAll("rsbtbackup", "prune", i.dest(), "--keep-daily=7", "--keep-weekly=4", "-n"), quoteAll("rsbtbackup", "prune", "--help")}, true
	case errors.As(err, &held):
		return []string{"to see which: lsof -nP | " + quoteAll("grep", "-F", filepath.Join(i.dest(), held.Backup))}, true
	case errors.Is(err, rsbtbackup.ErrNoSpace) && isPrune(i.command):
		return []string{"to see how much space each backup uses: " + quoteAll("rsbtbackup", "list", i.dest(), "--size"), usageHint(i)}, true
	case errors.Is(err, rsbtbackup.ErrNoSpace) && strings.Contains(err.Error(), os.Stdout.Name()):
		return []string{"the disk that the output goes to is full, not DEST: df -h"}, true
	case errors.Is(err, rsbtbackup.ErrNoSpace) && isInit:
		return []string{"to see what is free there: " + quoteAll("df", "-h", i.dest())}, true
	case errors.Is(err, rsbtbackup.ErrNoSpace):
		return makeRoomHints(i), true
	}
	return nil, false
}

func usageHint(i invocation) string {
	return "to see what is used: " + quoteAll("rsbtbackup", "check", i.dest())
}

// makeRoomHints: which backups can be deleted depends on how many there are.
func makeRoomHints(i invocation) []string {
	usage := usageHint(i)
	const shown = 7
	backups := shown + 1
	if l, err := rsbtbackup.List(context.Background(), i.dest()); err == nil {
		backups = len(l.Backups)
	}
	if backups > 1 {
		return []string{"to see what that would free: " + quoteAll("rsbtbackup", "prune", i.dest(), fmt.Sprintf("--keep-last=%d", min(shown, backups-1)), "-n"), usage}
	}
	_, isBackup := i.command.(*backupCommand)
	if !isBackup {
		return []string{usage}
	}
	return []string{"no backup can be spared; to leave out part of SRC: " + i.again(excludeFlag+"PATTERN"), usage}
}

// healHints: the next backup copies damaged files of the newest one again.
func healHints(i invocation) []string {
	var newest rsbtbackup.VerifyResult
	src := "SRC"
	if l, err := rsbtbackup.List(context.Background(), i.dest()); err == nil && len(l.Backups) > 0 {
		b := l.Backups[len(l.Backups)-1]
		switch {
		case b.Damaged():
			newest = rsbtbackup.Damaged
		case b.Record != nil && b.Record.Verified != nil:
			newest = b.Record.Verified.Result
		}
		src = cmp.Or(lastSource(l.Backups), src)
	}
	v, ok := i.command.(*verifyCommand)
	switch all := ok && v.backup() == "" && !v.NewOnly; {
	case newest == rsbtbackup.Clean && all:
		return []string{"the newest backup is intact; to see the errors the disk has counted: " + quoteAll("rsbtbackup", "check", i.dest())}
	case newest != rsbtbackup.Damaged:
		return []string{"to learn whether the newest backup has it too: " + quoteAll("rsbtbackup", "verify", i.dest(), "latest")}
	}
	return []string{"to copy damaged files again from the source: " + quoteAll("rsbtbackup", "backup", src, i.dest())}
}

// damageHints: verify names the nearest older backup in which the file is intact. For diff and history the damage may
// be in any of several backups.
func damageHints(i invocation) []string {
	where := []string{i.dest()}
	switch c := i.command.(type) {
	case *restoreCommand:
		where = append(where, c.Backup)
	case *catCommand:
		where = append(where, c.Backup)
	case *diffCommand, *historyCommand:
	default:
		return []string{"to see messages of the kernel about the disk: dmesg | tail"}
	}
	return []string{damageHint(where...)}
}

// damageHint is about DEST, or one backup in it.
func damageHint(where ...string) string {
	return "to see what is damaged, and which older backup has it intact: " + quoteAll(append([]string{"rsbtbackup", "verify"}, where...)...)
}

// diskFailed: EIO, also if rsync reported it, which runs in the C locale.
func diskFailed(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, rsbtbackup.ErrIncomplete) && strings.Contains(err.Error(), "Input/output error")
}
