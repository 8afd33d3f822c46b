// History: the versions of one path through all backups.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
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
}

// PathHistory is what History found.
type PathHistory struct {
	Dest     string    `json:"dest"`
	Path     string    `json:"path"`    // relative to the root of each backup; "." is that root
	Backups  int       `json:"backups"` // how many there are
	Versions []Version `json:"-"`       // oldest first
}

// History goes through all backups, oldest first, and lists the distinct
// versions of path, which is relative to their roots and never leaves them.
//
// A version ends where type, content, mode, owner, modification time or
// extended attributes differ. Content is read only where inode, ctime and size
// do not settle it. Of a directory it is the directory itself that is meant,
// whose modification time tells that names in it came or went, not what
// happened to the files in it. It takes no lock; a backup that is deleted
// meanwhile is left out.
//
// Errors match ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrUsage for a path
// that would leave the backup, ErrNoPath (and fs.ErrNotExist) for one that no
// backup has, and fs.ErrPermission.
func History(ctx context.Context, dest, path string) (*PathHistory, error) {
	inside, err := cleanInside(path)
	if err != nil {
		return nil, err
	}
	s, err := openStore(dest)
	if err != nil {
		return nil, err
	}
	defer s.close()
	st, err := s.readState(time.Local)
	if err != nil {
		return nil, step("read", err)
	}
	h := &historian{ctx: ctx, path: inside}
	defer h.close()
	for _, backup := range st.backups {
		if err := h.visit(s.dir, backup); err != nil {
			return nil, step("look up", err)
		}
	}
	if len(h.versions) == 0 {
		return nil, step("look up", noPath("%q is in no backup of %s", path, s.path))
	}
	return &PathHistory{Dest: s.path, Path: cmpOrDot(inside), Backups: len(st.backups), Versions: h.versions}, nil
}

// historian holds on to the last backup that was looked at.
type historian struct {
	ctx      context.Context
	path     string
	versions []Version
	last     *diffSide
	seen     *diffLink // what last has; nil for nothing
	complete bool      // Take of the last version is
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
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	side := &diffSide{name: backup.Name, root: root}
	st, err := lookInside(root, h.path)
	var now *diffLink
	if err == nil {
		now = &diffLink{path: h.path, st: st}
	} else if !isAbsent(err) {
		return errors.Join(err, root.Close())
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
		h.begin(side.name, now.st, nil, complete)
		return nil
	}
	changed, err := h.changes(side, now)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		h.begin(side.name, now.st, changed, complete)
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

func (h *historian) begin(name string, st fileStat, changed []DiffChange, complete bool) {
	const permissions = 0o7777
	h.complete = complete
	h.versions = append(h.versions, Version{
		First: name, Last: name, Take: name, Backups: 1, Type: st.typeName(), Size: st.fileSize(),
		Mode: Permissions(st.mode & permissions), UID: st.uid, GID: st.gid,
		ModTime: time.Unix(st.mtime.Sec, int64(st.mtime.Nsec)), Changed: changed,
	})
}
