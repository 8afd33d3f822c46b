package rsyncexec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options is one run of rsync. The zero value of every field but Source and Dest is usable.
type Options struct {
	// Program is the rsync to run: "" looks up "rsync" in PATH, a name is looked up, a path must be absolute.
	Program string
	// Version of Program, if Probe returned it and its path; else Run asks rsync, which takes some 10 ms.
	Version Version
	// Source from ParseSource; a Local path must be absolute. The contents of the directory are copied.
	Source Source
	// Paths, if any, are all that is copied: files and directories below a Local Source, clean and relative. Each is
	// copied to Dest under its whole path, and its parent directories get their metadata too (--relative).
	Paths []string
	// FilesFrom, unless nil, lists all paths that rsync looks at below a Local Source, each followed by a NUL. rsync
	// reads them on stdin; see ErrListUnread. Each path must begin with "./", because rsync skips others that begin
	// with "#" or ";", and be shorter than 4096 bytes, because rsync truncates longer ones (3.5.0). A path that ends
	// with "/" is a directory that is listed one level deep: with Delete, entries that are gone from it are deleted,
	// and a new directory in it is created empty. With Recursive everything below it is listed. A missing path is no
	// error, and nothing is deleted for it. The attributes of all parent directories are copied; filter rules do not
	// apply to them, and symlinks among them are not noticed.
	FilesFrom []byte
	Recursive bool
	// Dest is an absolute directory path, typically "/proc/self/fd/3" with the directory as ExtraFiles[0].
	Dest string
	// RemoteDest, if set, replaces Dest and is on another host; Source is Local then. It comes from ParseSource.
	RemoteDest *Source

	HardLinks  bool // --hard-links
	ACLs       bool // --acls
	Xattrs     bool // --xattrs
	NumericIDs bool // --numeric-ids
	Atimes     bool // --atimes
	// UserXattrs restricts extended attributes in a local copy to user.*, the only ones that an ordinary user may
	// write. btrfs lists trusted.* to everybody; if rsync may not read an attribute, it reports an error and skips the
	// whole file.
	UserXattrs bool
	// SourceFakeSuper: the local source was written with --fake-super, so owners, modes and devices are read from its
	// attributes. Privileged says whether a local destination can be given them.
	SourceFakeSuper bool
	Privileged      bool
	// Inplace writes into existing files instead of replacing them.
	Inplace bool
	// WholeFile sends changed files whole instead of comparing blocks.
	WholeFile bool
	// Delete removes from Dest what is not in Source, excluded files too. rsync deletes during the transfer, directory
	// by directory, which needs no second scan and no list in memory. After a read error rsync stops deleting in any
	// mode. One of the --delete-WHEN options in Extra changes it.
	Delete bool
	// KeepExcluded makes Delete keep excluded files.
	KeepExcluded bool
	// IgnoreErrors lets Delete continue after the sender could not read something: files in an unreadable directory are
	// then deleted too.
	IgnoreErrors bool
	// MaxDelete is how many deletions rsync may make before it stops (exit 25); nil is no limit.
	MaxDelete *int64
	// Sparse writes long runs of zeros as holes.
	Sparse bool
	// IgnoreTimes copies every file, even if size and time are equal.
	IgnoreTimes bool
	// Update keeps files that are newer in Dest.
	Update bool
	// IgnoreExisting keeps everything that exists in Dest; only attributes of directories are updated.
	IgnoreExisting bool
	Checksum       bool // --checksum: compare contents, not size and time
	DryRun         bool // --dry-run
	OneFileSystem  bool // --one-file-system

	// Protect, Filter, Exclude and ExcludeFrom are given to rsync in this order; the first rule that matches decides.
	// The rules in Protect are given again at the end, because another rule may be "!", which clears all rules before
	// it. An include after that "!" still comes first.
	Protect     []string
	Filter      []string
	Exclude     []string
	ExcludeFrom []string
	// ProtectFrom is a file with more rules like those in Protect, each ended by a NUL byte.
	ProtectFrom string
	// Bwlimit is a rate as rsync reads it: KiB per second, or with a suffix ("1.5m").
	Bwlimit string
	// Rsh is the remote shell with its arguments, as rsync's -e. For a Daemon source it means a daemon started through
	// that shell.
	Rsh string
	// Timeout ends the run when nothing was transferred for this long. It is rounded up to whole seconds; 0 means no
	// limit.
	Timeout time.Duration
	// Extra holds further options of rsync; they come after ours and must pass CheckExtra.
	Extra []string

	// ExtraFiles are inherited by rsync and all its children as file descriptors 3, 4, ...
	ExtraFiles []*os.File
	// Progress receives what --info=progress2 prints; nil turns that off.
	Progress func(Progress)
	// FileList asks for a line on stdout, for Line, when the file list begins: both ends run then, and have agreed on a
	// protocol.
	FileList bool
	// Protocol asks for a line on stdout, for Line, that ParseProtocol reads.
	Protocol bool
	// Changes receives each entry that is changed, or with DryRun would be; nil turns that off.
	Changes func(Change)
	// Listed receives, instead of Changes, each entry that the destination lacks; with a DryRun to a missing
	// destination, these are all of the source.
	Listed func(Listed)
	// Written is called when rsync has read and written everything and only waits for its own processes to end, which
	// takes another 40 ms (3.5.0 sleeps 20 ms at a time). If a file name looks like the message that it comes from, it
	// is called before, too: the last call counts. Output is not read before it returns. With DryRun it does not come.
	// nil does not ask for it.
	Written func()
	// Line receives every other line, without its end: stream is "stdout" or "stderr". Lines are cut at 16 KiB; rsync
	// escapes control characters in file names, messages of a remote shell are passed unchanged. nil drops them.
	// Progress, Changes, Written and Line are never called at the same time, and rsync waits while they run.
	Line func(stream, line string)
	// KillGrace is how long a cancelled rsync may take to end before it is killed, and how long Run then waits for the
	// processes that rsync started; 0 means 10 seconds.
	KillGrace time.Duration
}

// ErrOptions is what the errors of Argv match.
var ErrOptions = errors.New("unusable rsync options")

// Argv is the argument vector without the program's name. It is pure: nothing is looked up. The error matches
// ErrOptions, or is an *ExtraError.
func (o Options) Argv() ([]string, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	argv := []string{"-a"}
	argv = append(argv, o.attributeArgs()...)
	argv = append(argv, o.transferArgs()...)
	argv = append(argv, o.outputArgs()...)
	argv = append(argv, filters(o.Protect)...)
	argv = append(argv, when(o.ProtectFrom != "", "--from0", "--filter=merge "+o.ProtectFrom)...)
	argv = append(argv, o.filterArgs()...)
	argv = append(argv, o.connectionArgs()...)
	argv = append(argv, o.extra()...)
	argv = append(argv, filters(o.Protect)...)
	argv = append(argv, "--")
	return append(append(argv, o.sources()...), o.target()), nil
}

// sources: with --relative rsync creates the path after "/./" in the destination.
func (o Options) sources() []string {
	if len(o.Paths) == 0 {
		return []string{o.Source.Operand()}
	}
	operands := make([]string, len(o.Paths))
	for i, path := range o.Paths {
		operands[i] = o.Source.Operand() + "./" + path
	}
	return operands
}

func (o Options) target() string {
	if o.RemoteDest != nil {
		return o.RemoteDest.Operand()
	}
	return withSlash(o.Dest)
}

func (o Options) check() error {
	switch {
	case o.Source.Kind == Local && !strings.HasPrefix(o.Source.Path, "/"):
		return fmt.Errorf("%w: local source %q is not absolute", ErrOptions, o.Source.Path)
	case o.Source.Kind != Local && o.Source.Host == "":
		return fmt.Errorf("%w: remote source without a host", ErrOptions)
	case o.RemoteDest != nil && (o.RemoteDest.Kind == Local || o.RemoteDest.Host == ""):
		return fmt.Errorf("%w: remote destination without a host", ErrOptions)
	case o.RemoteDest != nil && o.Source.Kind != Local:
		return fmt.Errorf("%w: source and destination are both remote", ErrOptions)
	case len(o.Paths) > 0 && o.Source.Kind != Local:
		return fmt.Errorf("%w: paths below a remote source", ErrOptions)
	case o.FilesFrom != nil && (o.Source.Kind != Local || len(o.Paths) > 0):
		return fmt.Errorf("%w: a list of files is for a local source, and for no other paths", ErrOptions)
	case o.RemoteDest == nil && !strings.HasPrefix(o.Dest, "/"):
		return fmt.Errorf("%w: destination %q is not absolute", ErrOptions, o.Dest)
	case o.Timeout < 0:
		return fmt.Errorf("%w: negative timeout %v", ErrOptions, o.Timeout)
	}
	if o.RemoteDest != nil {
		if err := o.RemoteDest.CheckDest(); err != nil {
			return fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	if err := checkFilesFrom(o.FilesFrom); err != nil {
		return err
	}
	for _, p := range o.Paths {
		if p == "." || p != path.Clean(p) || strings.HasPrefix(p, "/") || p == ".." || strings.HasPrefix(p, "../") {
			return fmt.Errorf("%w: path %q is not clean and relative", ErrOptions, p)
		}
	}
	values := [][]string{{o.Source.Operand(), o.target(), o.ProtectFrom, o.Bwlimit, o.Rsh}, o.Paths, o.Protect, o.Filter, o.Exclude, o.ExcludeFrom, o.Extra}
	for _, list := range values {
		for _, value := range list {
			if strings.ContainsRune(value, 0) {
				return fmt.Errorf("%w: %q contains a NUL byte", ErrOptions, value)
			}
		}
	}
	return CheckExtra(o.Extra)
}

// maxListed is the longest path that rsync reads from a list (MAXPATHLEN without the NUL).
const maxListed = 4095

// checkFilesFrom refuses paths that rsync would skip, truncate, or look for outside the source.
func checkFilesFrom(list []byte) error {
	if len(list) > 0 && list[len(list)-1] != 0 {
		return fmt.Errorf("%w: the list of files is cut off", ErrOptions)
	}
	for entry := range bytes.SplitSeq(bytes.TrimSuffix(list, []byte{0}), []byte{0}) {
		clean := path.Clean(string(entry))
		if len(list) > 0 && (!bytes.HasPrefix(entry, []byte("./")) || len(entry) > maxListed || clean == ".." || strings.HasPrefix(clean, "../")) {
			return fmt.Errorf("%w: %q in the list of files", ErrOptions, entry)
		}
	}
	return nil
}

// fakeSuper reports whether one end stores owners and modes in extended attributes.
func (o Options) fakeSuper() bool {
	asked := func(arg string) bool { return strings.Contains(arg, "fake-super") }
	return o.SourceFakeSuper || slices.ContainsFunc(o.Extra, asked)
}

// attributeArgs: the quick check of rsync compares whole seconds, so a change that keeps the size within the same
// second would never be noticed; a negative --modify-window compares nanoseconds.
func (o Options) attributeArgs() []string {
	args := when(o.HardLinks, "--hard-links")
	args = append(args, when(o.ACLs, "--acls")...)
	args = append(args, when(o.Xattrs, "--xattrs")...)
	// With a single --xattrs rsync skips user.rsync.%stat and the like, which hold owners and modes in a source written
	// with --fake-super.
	args = append(args, when(o.Xattrs && !o.fakeSuper(), "--xattrs")...)
	args = append(args, when(o.Xattrs && o.UserXattrs && o.Source.Kind == Local && o.RemoteDest == nil, "--filter=-xsr! user.*")...)
	args = append(args, when(o.NumericIDs, "--numeric-ids")...)
	args = append(args, when(o.Atimes, "--atimes")...)
	args = append(args, o.fakeSourceArgs()...)
	return append(args, "--modify-window=-1")
}

// fakeSourceArgs: in a local copy --fake-super counts for both ends, so the other end is told --super or --no-super.
func (o Options) fakeSourceArgs() []string {
	switch {
	case !o.SourceFakeSuper:
		return nil
	case o.RemoteDest != nil:
		return []string{"--fake-super"}
	case o.Privileged:
		return []string{"--fake-super", "-M--super"}
	}
	return []string{"--fake-super", "-M--no-super"}
}

// transferArgs passes --no-inplace and --no-whole-file explicitly, because rsync's default differs between local and
// remote.
func (o Options) transferArgs() []string {
	args := []string{"--no-inplace", "--no-whole-file"}
	if o.Inplace {
		args[0] = "--inplace"
	}
	if o.WholeFile {
		args[1] = "--whole-file"
	}
	args = append(args, when(len(o.Paths) > 0, "--relative")...)
	args = append(args, when(o.FilesFrom != nil, "--files-from=-", "--from0", "--ignore-missing-args")...)
	args = append(args, when(o.FilesFrom != nil && o.Recursive, "--recursive")...)
	args = append(args, when(o.Sparse, "--sparse")...)
	args = append(args, when(o.Delete, "--delete")...)
	args = append(args, when(o.Delete && !o.KeepExcluded, "--delete-excluded")...)
	args = append(args, when(o.Delete && o.IgnoreErrors, "--ignore-errors")...)
	if o.MaxDelete != nil {
		args = append(args, fmt.Sprintf("--max-delete=%d", *o.MaxDelete))
	}
	args = append(args, when(o.IgnoreTimes, "--ignore-times")...)
	args = append(args, when(o.Update, "--update")...)
	args = append(args, when(o.IgnoreExisting, "--ignore-existing")...)
	args = append(args, when(o.Checksum, "--checksum")...)
	args = append(args, when(o.DryRun, "--dry-run")...)
	return append(args, when(o.OneFileSystem, "--one-file-system")...)
}

func (o Options) outputArgs() []string {
	args := []string{"--stats", "--no-human-readable"}
	args = append(args, when(o.Changes != nil && o.Listed == nil, "--out-format="+changeFormat)...)
	args = append(args, when(o.Listed != nil, "--out-format="+listFormat)...)
	args = append(args, when(o.FileList, "--info=flist1")...)
	args = append(args, when(o.Protocol, "--debug=proto1")...)
	args = append(args, when(o.Written != nil && !o.DryRun, "--debug=exit2")...)
	return append(args, when(o.Progress != nil, "--info=progress2")...)
}

func (o Options) filterArgs() []string {
	args := filters(o.Filter)
	for _, pattern := range o.Exclude {
		args = append(args, "--exclude="+pattern)
	}
	for _, file := range o.ExcludeFrom {
		args = append(args, "--exclude-from="+file)
	}
	return args
}

func filters(rules []string) []string {
	var args []string
	for _, rule := range rules {
		args = append(args, "--filter="+rule)
	}
	return args
}

func (o Options) connectionArgs() []string {
	args := when(o.Source.needsSecludedArgs() || o.RemoteDest != nil && o.RemoteDest.needsSecludedArgs(), "-s")
	args = append(args, when(o.Bwlimit != "", "--bwlimit="+o.Bwlimit)...)
	args = append(args, when(o.Rsh != "", "--rsh="+o.Rsh)...)
	seconds := int64((o.Timeout + time.Second - 1) / time.Second)
	return append(args, when(seconds > 0, "--timeout="+strconv.FormatInt(seconds, 10))...)
}

func when(condition bool, args ...string) []string {
	if condition {
		return args
	}
	return nil
}
