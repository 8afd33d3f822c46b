// Options: how rsync reads a source, whatever it then does with it.

package rsbtbackup

import (
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// inherited is the path of the first descriptor rsync inherits. Given as its
// destination it needs no lookup of DEST: whatever is renamed or replaced on
// the way there meanwhile, rsync writes into the directory we opened.
const inherited = "/proc/self/fd/3"

// remoteTimeout ends a transfer in which a remote peer has been silent for so
// long: it is gone, or means harm. Not so where contents are compared: rsync
// says nothing while it reads a file for its checksum, however large (3.5.0).
const remoteTimeout = 30 * time.Minute

// reading says what of a source is read, and how.
type reading struct {
	oneFS                               bool
	filter, exclude, excludeFrom, extra []string
	checksum                            bool // by content, not by size and time
	rsh                                 string
	timeout                             time.Duration
	program                             string
	progress                            func(rsyncexec.Progress)
}

// readOptions is pure. rsync deletes, and writes to the first descriptor it inherits, unless told otherwise.
func (s *source) readOptions(r reading) rsyncexec.Options {
	opts := rsyncexec.Options{
		Program: r.program, Source: s.spec, Dest: inherited,
		HardLinks: true, ACLs: true, Xattrs: true, NumericIDs: true,
		Delete: true, Checksum: r.checksum, OneFileSystem: r.oneFS,
		Filter: r.filter, Exclude: r.exclude, ExcludeFrom: r.excludeFrom, Extra: r.extra,
		Rsh: r.rsh, Timeout: r.timeout, Progress: r.progress,
	}
	compares := opts.Checksum || rsyncexec.ChecksumAsked(r.extra)
	if opts.Timeout == 0 && !s.local() && !compares {
		opts.Timeout = remoteTimeout
	}
	for _, v := range s.views {
		if r.oneFS && !v.sameFS {
			continue // rsync makes an empty directory of its mount point, as of others
		}
		opts.Protect = append(opts.Protect, "- /"+escapePattern(v.rel))
	}
	return opts
}

// escapePattern makes rsync take a path literally in a filter rule.
func escapePattern(path string) string {
	if !strings.ContainsAny(path, `*?[`) {
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
