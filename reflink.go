// Reflink: filling an empty target on the filesystem of DEST with copies that
// share their blocks with the backup. It is only ever a head start for rsync:
// whatever it can not do is left out and told, and rsync then does it or says
// why not.

package rsbtbackup

import (
	"context"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReflinkStats counts what was copied by sharing its blocks.
type ReflinkStats struct {
	Files       int64 `json:"files"` // regular ones, each inode once
	Directories int64 `json:"directories"`
	Symlinks    int64 `json:"symlinks"`
	Specials    int64 `json:"specials"` // devices, fifos, sockets
	HardLinks   int64 `json:"hard_links"`
	Bytes       int64 `json:"bytes"` // sizes of the files
}

func (s ReflinkStats) entries() int64 {
	return s.Files + s.Directories + s.Symlinks + s.Specials + s.HardLinks
}

// reflinkFits tells whether the target can be filled by reflink. Only root can
// set every owner, a filter is best left to who wrote its rules, and so
// are owners that stand in attributes.
func (r *restore) reflinkFits() bool {
	o := &r.o
	if o.NoReflink || o.DryRun || r.target.remote != nil || !r.target.empty || os.Geteuid() != 0 || len(o.Exclude) > 0 || o.Bwlimit != "" || r.stored.FakeSuper {
		return false
	}
	fits, err := shareBlocks(r.target.dir, r.view.root)
	if err != nil {
		r.log.Debug("no reflink copy", "error", err)
	}
	if fits && knownDamaged(&r.view.snap) {
		// A copy would be as damaged, and nothing would tell.
		r.notice(r.view.snap.Name + " is known to be damaged: all of it is read, to name what is lost")
		return false
	}
	return fits
}

// shareBlocks tells whether both are on one btrfs, and what is made in dst
// inherits nothing (default ACLs, btrfs properties) that a copy must not have.
func shareBlocks(dst, src *os.File) (bool, error) {
	a, err := identify(dst)
	if err != nil || a.FSType != unix.BTRFS_SUPER_MAGIC {
		return false, err
	}
	b, err := identify(src)
	if err != nil || *a != *b {
		return false, err
	}
	attributes, err := listXattrs(dst)
	return len(attributes) == 0, err
}

// reflink copies the paths, or everything. whole tells that nothing is left
// for rsync. An error is one that rsync would meet as well.
func (r *restore) reflink(ctx context.Context) (whole bool, err error) {
	top, err := statFile(r.target.dir)
	if err != nil {
		return false, err
	}
	c := &cloner{
		ctx: ctx, log: r.log, target: r.target.dir, token: make(chan struct{}, walkers-1), links: map[inodeKey]*firstLink{},
		umask: readUmask(), chownAll: top.Mode&unix.S_ISGID != 0 || os.Getegid() != 0,
	}
	if r.o.Progress != nil {
		c.progress = r.reflinkProgress()
	}
	c.copy(r.view.root, r.paths)
	if n := c.stats.load(); n.entries() > 0 {
		r.report.Reflinked = &n
	}
	return !c.left.Load(), c.err
}

// readUmask asks /proc: umask(2) can only be read by changing it.
func readUmask() uint32 {
	status, err := os.ReadFile("/proc/self/status") // has it since Linux 4.7
	if err != nil {
		return 0o777
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if text, ok := strings.CutPrefix(line, "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32); err == nil {
				return uint32(mask)
			}
		}
	}
	return 0o777
}

// reflinkProgress turns counts into rsync's way of telling. How much there is
// to do is known only for a whole backup, from its record.
func (r *restore) reflinkProgress() func(ReflinkStats) {
	var files, bytes int64
	if rec := r.view.snap.Record; len(r.paths) == 0 && rec != nil && rec.Stats != nil {
		files, bytes = rec.Stats.Files, rec.Stats.TotalSize
	}
	return func(n ReflinkStats) {
		done := n.entries()
		p := Progress{Bytes: n.Bytes, Transferred: n.Files, Total: max(files, done), ToCheck: max(files-done, 0), Scanning: files == 0}
		if bytes > 0 {
			p.Percent = int(min(100, n.Bytes*100/bytes))
		}
		r.o.Progress(p)
	}
}
