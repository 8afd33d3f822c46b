// Options: how rsync reads a source.

package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Inherited is the path of the first descriptor rsync inherits. As its destination it needs no lookup of DEST: even if
// the path of DEST changes meanwhile, rsync writes into the directory that we opened.
const Inherited = "/proc/self/fd/3"

// RemoteTimeout ends a transfer in which a remote peer has been silent for this long. It is not used if contents are
// compared, because rsync is silent while it reads a file for its checksum, however large (3.5.0).
const RemoteTimeout = 30 * time.Minute

// Reading says which part of a source is read, and how.
type Reading struct {
	OneFS                               bool
	Filter, Exclude, ExcludeFrom, Extra []string
	Marks                               Marks // those given to FindMarked
	UserXattrs                          bool  // as in rsyncexec.Options: for an ordinary user
	Checksum                            bool  // by content, not by size and time
	Rsh                                 string
	Timeout                             time.Duration
	Program                             string
	Progress                            func(rsyncexec.Progress)
}

const oneFSOption = "--one-file-system"

// Rules returns the options that may leave something out of a backup. Any further option for rsync may be one.
func (r Reading) Rules() []string {
	var rules []string
	if r.OneFS {
		rules = append(rules, oneFSOption)
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

// Sums are checksums of the files of rules, as more rules.
func (r Reading) Sums() (sums []string, err error) {
	for _, name := range r.ExcludeFrom {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		sums = append(sums, "rules "+hex.EncodeToString(sum.Sum(nil)))
	}
	return sums, nil
}

// ReadOptions is pure. By default rsync deletes, and writes to the first descriptor that it inherits.
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

// Protected returns the paths below SRC that are always excluded: those at which DEST is visible, and snapshots that
// other runs have made.
func (s *Source) Protected(oneFS bool) (paths []string) {
	paths = append(paths, s.snapshots...)
	for _, v := range s.Views {
		if oneFS && !v.SameFS {
			continue // rsync makes an empty directory for its mount point, as for others
		}
		paths = append(paths, v.Rel)
	}
	return paths
}

// EscapePattern escapes a path so that it is literal in a filter rule of rsync.
func EscapePattern(path string) string {
	if !strings.ContainsAny(path, `*?[`) {
		return path
	}
	return escape.Replace(path)
}

// escape is for patterns with a wildcard: in others a backslash is literal.
var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
