// What --json prints on stdout: one object a line. Fields are added in later
// versions, none is taken away, and unknown types should be skipped. The first
// field is always "type":
//
//	init      one, rsbtbackup.InitReport: dest, already, adopted, backups, warnings
//	backup    one, rsbtbackup.Report: dest, source, name, status, base, resumed,
//	          dry_run, started, ended, rsync_version, rsync_exit, stats,
//	          added_bytes, complaints, notices, repairs. Without a name nothing was published.
//	snapshot  one for each backup, oldest first, rsbtbackup.Snapshot: name, time,
//	          id, uuid, parent_uuid, read_only, status, current, added_bytes,
//	          exclusive_bytes (with --size), record
//	summary   the last of list: dest, backups, unfinished, foreign, free, total
//	prune     one, of prune and rotate, rsbtbackup.PruneReport: dest, dry_run,
//	          decisions (newest first: a snapshot's fields, keep, reasons, frees),
//	          deleted, free, total, repairs
//	delete    one, rsbtbackup.DeleteReport: dest, deleted, repairs
//	pin       one, of pin, and "unpin", of unpin: the fields of a snapshot
//	entry     one for each line of ls, rsbtbackup.Entry: path, kind, mode, uid, gid,
//	          size, mtime, links, inode, link, device
//	change    one for each entry a dry run of restore would change, and each
//	          that verify --against finds to differ: code, path
//	restore   one, rsbtbackup.RestoreReport: dest, backup, paths, target, dry_run,
//	          started, ended, reflinked, rsync_version, rsync_exit, stats,
//	          complaints, notices
//	clone     one for restore --as-subvolume, rsbtbackup.CloneReport: dest,
//	          backup, path
//	damage    one for each damaged file verify finds, rsbtbackup.Damage: backup,
//	          path, kind, ranges (offset, length), bytes, error, shared (backup,
//	          path), elsewhere, intact
//	verify    one, rsbtbackup.VerifyReport: dest, backups (name, since, result,
//	          files, bytes), files, bytes, damaged, unread, unreads,
//	          device_errors, notices, started, ended
//	against   one, of verify --against, after its change objects,
//	          rsbtbackup.AgainstReport: dest, backup, source, differences,
//	          rsync_exit, stats, complaints, started, ended
//	check     one, rsbtbackup.CheckReport: dest, level, results (name, level
//	          (ok, warn or fail), text)
//	difference  one for each, rsbtbackup.DiffEntry: kind, path, old_path, file_type,
//	          old_file_type, changed, size, old_size
//	diff      the last of diff: dest, from, to, path, method, unread, counts,
//	          added_bytes, removed_bytes
//	text_difference  one, of diff --text: path, text
//	path_version  one for each, oldest first, rsbtbackup.Version: first, last, take,
//	          backups, vanished, file_type, size, mode, uid, gid, mtime, changed
//	history   the last of history: dest, path, backups
//	version   one: version, revision, go, rsync, rsync_path
//	error     the last, if the exit code is not 0: exit, message, hints. The
//	          same error is on stderr as text.
//
// Times are RFC 3339, sizes bytes. A path that is no valid UTF-8 has U+FFFD in
// place of each bad byte.

package main

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/rsbtbackup/rsbtbackup"
)

type initObject struct {
	Type string `json:"type"`
	*rsbtbackup.InitReport
}

type backupObject struct {
	Type string `json:"type"`
	*rsbtbackup.Report
}

type pruneObject struct {
	Type string `json:"type"`
	*rsbtbackup.PruneReport
}

type deleteObject struct {
	Type string `json:"type"`
	*rsbtbackup.DeleteReport
}

type snapshotObject struct {
	Type string `json:"type"`
	rsbtbackup.Snapshot
}

type summaryObject struct {
	Type       string   `json:"type"`
	Dest       string   `json:"dest"`
	Backups    int      `json:"backups"`
	Unfinished bool     `json:"unfinished"`
	Foreign    []string `json:"foreign"`
	Free       uint64   `json:"free"`
	Total      uint64   `json:"total"`
}

type entryObject struct {
	Type string `json:"type"`
	rsbtbackup.Entry
}

type changeObject struct {
	Type string `json:"type"`
	Code string `json:"code"`
	Path string `json:"path"`
}

type restoreObject struct {
	Type string `json:"type"`
	*rsbtbackup.RestoreReport
}

type cloneObject struct {
	Type string `json:"type"`
	*rsbtbackup.CloneReport
}

type versionObject struct {
	Type      string `json:"type"`
	Version   string `json:"version"`
	Revision  string `json:"revision,omitempty"`
	Go        string `json:"go"`
	Rsync     string `json:"rsync,omitempty"`
	RsyncPath string `json:"rsync_path,omitempty"`
}

type errorObject struct {
	Type    string   `json:"type"`
	Exit    int      `json:"exit"`
	Message string   `json:"message"`
	Hints   []string `json:"hints,omitempty"`
}

// asciiControls escapes DEL and the C1 controls, which JSON allows in a string
// and a terminal obeys. They stand nowhere else.
func asciiControls(data []byte) []byte {
	if !bytes.ContainsFunc(data, isControl) {
		return data
	}
	var b bytes.Buffer
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if isControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.Write(data[:n])
		}
		data = data[n:]
	}
	return b.Bytes()
}

func isControl(r rune) bool { return r >= 0x7f && r < 0xa0 }
