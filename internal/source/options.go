// Options: how rsync reads a source, whatever it then does with it.

package source

import (
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Inherited is the path of the first descriptor rsync inherits. Given as its destination it needs no lookup of DEST:
// whatever is renamed or replaced on the way there meanwhile, rsync writes into the directory we opened.
const Inherited = "/proc/self/fd/3"

// RemoteTimeout ends a transfer in which a remote peer has been silent for so long: it is gone, or means harm. Not so
// where contents are compared: rsync says nothing while it reads a file for its checksum, however large (3.5.0).
const RemoteTimeout = 30 * time.Minute

// Reading says what of a source is read, and how.
type Reading struct {
	OneFS                               bool
	Filter, Exclude, ExcludeFrom, Extra []string
	Marks                               Marks // that FindMarked has looked for
	UserXattrs                          bool  // as of rsyncexec.Options: for who is not root
	Checksum                            bool  // by content, not by size and time
	Rsh                                 string
	Timeout                             time.Duration
	Program                             string
	Progress                            func(rsyncexec.Progress)
}

// Rules are the options by which a backup may lack something its source has. Any further option for rsync may be one.
func (r Reading) Rules() []string {
	var rules []string
	if r.OneFS {
		rules = append(rules, "--one-file-system")
	}
	for _, text := range r.Filter {
		rules = append(rules, "--filter="+text)
	}
	for _, text := range r.Exclude {
		rules = append(rules, "--exclude="+text)
	}
	for _, text := range r.ExcludeFrom {
		rules = append(rules, "--exclude-from="+text)
	}
	return append(append(rules, r.Marks.Options()...), r.Extra...)
}

// ReadOptions is pure. rsync deletes, and writes to the first descriptor it inherits, unless told otherwise.
func (s *Source) ReadOptions(r Reading) rsyncexec.Options {
	opts := rsyncexec.Options{
		Program: r.Program, Source: s.Spec, Dest: Inherited,
		HardLinks: true, ACLs: true, Xattrs: true, UserXattrs: r.UserXattrs, NumericIDs: true,
		Delete: true, Checksum: r.Checksum, OneFileSystem: r.OneFS,
		Filter: r.Filter, Exclude: r.Exclude, ExcludeFrom: r.ExcludeFrom, Extra: r.Extra,
		Rsh: r.Rsh, Timeout: r.Timeout, Progress: r.Progress,
	}
	compares := opts.Checksum || rsyncexec.ChecksumAsked(r.Extra)
	if opts.Timeout == 0 && !s.Local() && !compares {
		opts.Timeout = RemoteTimeout
	}
	for _, path := range s.Protected(r.OneFS) {
		opts.Protect = append(opts.Protect, "- /"+EscapePattern(path))
	}
	opts.Protect = append(opts.Protect, s.MarkedRules()...)
	return opts
}

// Protected are the paths below SRC where DEST shows up, or a snapshot that another run has made, which are left out.
func (s *Source) Protected(oneFS bool) (paths []string) {
	paths = append(paths, s.snapshots...)
	for _, v := range s.Views {
		if oneFS && !v.SameFS {
			continue // rsync makes an empty directory of its mount point, as of others
		}
		paths = append(paths, v.Rel)
	}
	return paths
}

// EscapePattern makes rsync take a path literally in a filter rule.
func EscapePattern(path string) string {
	if !strings.ContainsAny(path, `*?[`) {
		return path
	}
	return escape.Replace(path)
}

// escape is for a pattern with a wildcard: in others a backslash is itself.
var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
