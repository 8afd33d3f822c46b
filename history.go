// History: the versions of one path through all backups.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// Version is a path as it was in one or more backups in a row.
type Version struct {
	First string `json:"first"` // the oldest backup that has it like this
	Last  string `json:"last"`  // the newest, the next of which has it otherwise or not at all
	// Take is the one to restore it from: the newest complete one, or Last if
	// none is.
	Take    string `json:"take"`
	Backups int    `json:"backups"` // how many have it like this
	// Vanished is the backup after Last, if that lacks the path.
	Vanished string       `json:"vanished,omitempty"`
	Type     string       `json:"kind"` // as of Entry
	Size     int64        `json:"size"` // of a file
	Mode     Permissions  `json:"mode"`
	UID      uint32       `json:"uid"`
	GID      uint32       `json:"gid"`
	ModTime  time.Time    `json:"mtime"`
	Changed  []DiffChange `json:"changed,omitempty"` // against the version before; nothing if it appears
	// Unread: there may be more changes than Changed, or none at all, since
	// something could not be read.
	Unread bool `json:"unread,omitempty"`
}

// PathHistory is what History found.
type PathHistory struct {
	Dest     string    `json:"dest"`
	Path     string    `json:"path"`    // relative to the root of each backup; "." is that root
	Backups  int       `json:"backups"` // how many there are
	Versions []Version `json:"-"`       // oldest first
	// Unread says what could not be looked up or compared, and why.
	Unread []string `json:"unread,omitempty"`
	// Passed are backups that can not be opened at all: what they had is not here.
	Passed []string `json:"passed,omitempty"`
}

// History goes through all backups, oldest first, and lists the distinct
// versions of path, which is relative to their roots and never leaves them.
//
// A version ends where type, content, mode, owner, modification time or
// extended attributes differ, or where that can not be told since something can
// not be read. Content is read only where inode, ctime, size and, for root, its
// place on the disk do not settle it. A backup in which the path can not be
// looked up is passed over, and so is one that can not be opened at all. Of a directory it is the directory itself that is meant,
// whose modification time tells that names in it came or went, not what
// happened to the files in it. It takes no lock; a backup that is deleted
// meanwhile is left out.
//
// Errors match ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrUsage for a path
// that would leave the backup, ErrNoPath (and fs.ErrNotExist) for one that no
// backup has, fs.ErrPermission, and ErrNotCompared, with which the PathHistory,
// if there is one, is valid.
func History(ctx context.Context, dest, path string) (*PathHistory, error) {
	inside, err := insidePath(path)
	if err != nil {
		return nil, step("options", err)
	}
	s, err := openStore(dest)
	if err != nil {
		return nil, err
	}
	defer s.close()
	h, err := s.history(ctx, inside)
	if err != nil {
		return nil, err
	}
	err = h.unread()
	switch {
	case len(h.versions) > 0:
		return &PathHistory{Dest: s.path, Path: cmpOrDot(inside), Backups: h.backups, Versions: h.versions, Unread: texts(h.failed), Passed: h.passed}, err
	case err != nil:
		return nil, err
	case len(h.passed) > 0:
		return nil, step("look up", noPath("%q is in no backup of %s that can be opened; %s can not be", path, s.path, someNames(h.passed)))
	}
	return nil, step("look up", noPath("%q is in no backup of %s", path, s.path))
}

// history visits all backups, and once more if one of them was deleted
// meanwhile: what was found in that may be wrong, and the next one was compared
// with it.
func (s *store) history(ctx context.Context, path string) (*historian, error) {
	for {
		st, err := s.readState(time.Local)
		if err != nil {
			return nil, step("read", err)
		}
		h := &historian{ctx: ctx, path: path, backups: len(st.all()), passed: backupNames(st.broken)}
		for i := 0; i < len(st.backups) && err == nil; i++ {
			err = h.visit(s.dir, st.backups[i])
		}
		h.close()
		var gone error
		for i := 0; i < len(st.backups) && gone == nil; i++ {
			gone = s.gone(st.backups[i])
		}
		switch {
		case errors.Is(gone, ErrBackupGone) && ctx.Err() == nil:
		case err != nil:
			return nil, step("look up", err)
		default:
			return h, step("look up", gone)
		}
	}
}

func texts(errs []error) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

// historian holds on to the last backup that was looked at.
type historian struct {
	ctx      context.Context
	path     string
	versions []Version
	last     *diffSide
	seen     *diffLink // what last has; nil for nothing
	complete bool      // Take of the last version is
	failed   []error   // what could not be looked up or compared
	backups  int       // how many there are
	passed   []string  // of these, those that can not be opened
}

// unread tells the first of what could not be looked up or compared.
func (h *historian) unread() error {
	if len(h.failed) == 0 {
		return nil
	}
	return step("compare", failf(ErrNotCompared, "%s could not be made: %w", plural(len(h.failed), "comparison"), h.failed[0]))
}

// skip notes that something could not be read and goes on: it is when data is
// damaged that the versions of a file are asked for.
func (h *historian) skip(err error) error {
	if err == nil || !isUnreadable(err) {
		return err
	}
	h.failed = append(h.failed, err)
	return nil
}

func (h *historian) close() {
	if h.last != nil {
		// Nothing was written.
		_ = h.last.root.Close()
	}
}

// visit looks at the next backup.
func (h *historian) visit(dest *os.File, backup Snapshot) error {
	if h.ctx.Err() != nil {
		return context.Cause(h.ctx)
	}
	root, err := btrfs.OpenDirAt(dest, backup.Name)
	if err != nil {
		return h.skip(err)
	}
	side := &diffSide{name: backup.Name, root: root, readOnly: backup.ReadOnly}
	st, err := lookInside(root, h.path)
	var now *diffLink
	if err == nil {
		now = &diffLink{path: h.path, st: st}
	} else if !isAbsent(err) {
		return errors.Join(h.skip(err), root.Close())
	}
	if err := h.compare(side, now, backup.Status == Complete); err != nil {
		return errors.Join(err, root.Close())
	}
	h.close()
	h.last, h.seen = side, now
	return nil
}

func (h *historian) compare(side *diffSide, now *diffLink, complete bool) error {
	switch {
	case now == nil && h.seen != nil:
		h.versions[len(h.versions)-1].Vanished = side.name
		return nil
	case now == nil:
		return nil
	case h.seen == nil:
		h.begin(side.name, now.st, complete)
		return nil
	}
	changed, err := h.changes(side, now)
	unread := err != nil
	if unread {
		if err := h.skip(fmt.Errorf("%s to %s: %w", h.last.name, side.name, err)); err != nil {
			return err
		}
	}
	if len(changed) > 0 || unread {
		v := h.begin(side.name, now.st, complete)
		v.Changed, v.Unread = changed, unread
		return nil
	}
	v := &h.versions[len(h.versions)-1]
	v.Last = side.name
	v.Backups++
	if complete || !h.complete {
		v.Take, h.complete = side.name, complete
	}
	return nil
}

// changes are those that are known; with an error there may be more.
func (h *historian) changes(side *diffSide, now *diffLink) ([]DiffChange, error) {
	d := &differ{ctx: h.ctx, a: h.last, b: side, same: map[[2]fileID]bool{}}
	if err := d.relate(); err != nil {
		return nil, err
	}
	changed, err := d.changes(h.seen, now, false)
	if now.st.isDir() && h.seen.st.isDir() && now.st.mtime != h.seen.st.mtime {
		changed = append(changed, ChangedMtime)
	}
	return changed, err
}

func (h *historian) begin(name string, st fileStat, complete bool) *Version {
	const permissions = 0o7777
	h.complete = complete
	h.versions = append(h.versions, Version{
		First: name, Last: name, Take: name, Backups: 1, Type: st.typeName(), Size: st.fileSize(),
		Mode: Permissions(st.mode & permissions), UID: st.uid, GID: st.gid,
		ModTime: time.Unix(st.mtime.Sec, int64(st.mtime.Nsec)),
	})
	return &h.versions[len(h.versions)-1]
}
