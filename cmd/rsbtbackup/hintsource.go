// Hints about SRC, the target of a restore, and the guards of a backup.

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

// sourceHints: SRC cannot be used.
func sourceHints(err error, i invocation) ([]string, bool) {
	b, ok := i.command.(*backupCommand)
	if !ok || !errors.Is(err, rsbtbackup.ErrSource) {
		return nil, false
	}
	switch host, found := remoteMeant(b.Src); {
	case elsewhereHint(b, i) != "":
		return []string{elsewhereHint(b, i)}, true
	case found:
		return []string{"a directory on another machine is written host:/path: " + i.withSource(b, host)}, true
	case isFile(b.Src):
		return fileHints(b, i), true
	case errors.Is(err, fs.ErrNotExist):
		return []string{"to see what there is: " + quoteAll("ls", "-la", existing(b.Src))}, true
	}
	return nil, false
}

// remoteMeant is src in rsync's notation, if it is a URL of ssh, or only a user and a host.
func remoteMeant(src string) (string, bool) {
	for _, scheme := range []string{"ssh://", "sftp://", "scp://"} {
		if rest, ok := strings.CutPrefix(src, scheme); ok {
			host, path, _ := strings.Cut(rest, "/")
			host, _, _ = strings.Cut(host, ":") // a port goes to --rsh
			return host + ":/" + path, true
		}
	}
	return src + ":/PATH", strings.Contains(src, "@") && !strings.ContainsAny(src, ":/")
}

// elsewhereHint is for a SRC in the notation of other programs, which rsync takes for a host.
func elsewhereHint(b *backupCommand, i invocation) string {
	scheme, rest, isURL := strings.Cut(b.Src, "://")
	switch {
	case isURL && scheme == "file":
		return "a directory on this machine is written as a path: " + i.withSource(b, "/"+strings.TrimLeft(rest, "/"))
	case isURL && slices.Contains([]string{"smb", "cifs", "nfs", "afp", "dav", "davs", "http", "https", "ftp", "s3"}, scheme):
		return "rsync reads no " + scheme + "; a share that is mounted here is written as a path: " + i.withSource(b, "/mnt/PATH")
	case len(b.Src) > 2 && b.Src[1] == ':' && (b.Src[2] == '\\' || b.Src[2] == '/' && b.Src[0] >= 'A' && b.Src[0] <= 'Z'): // a host may have one letter
		return "a directory of Windows is read through its share, mounted here, or by an ssh server there: " + i.withSource(b, "/mnt/PATH")
	}
	return ""
}

// isRemote reports a SRC that is not a local path for rsync.
func isRemote(src string) bool {
	host, _, found := strings.Cut(src, ":")
	return found && !strings.Contains(host, "/")
}

// existing is the nearest directory above a path that is there.
func existing(path string) string {
	for path != "/" && path != "." {
		path = filepath.Dir(path)
		if isHere(path) {
			break
		}
	}
	return path
}

// withSource is the same command line with another SRC.
func (i invocation) withSource(b *backupCommand, src string) string {
	words := slices.Clone(i.args)
	at := slices.Index(words, b.Src)
	if at < 0 {
		return quoteAll("rsbtbackup", "backup", src, b.Dest)
	}
	words[at] = src
	return quoteAll(append([]string{"rsbtbackup"}, words...)...)
}

// targetHints: the target is not empty, or is missing.
func targetHints(err error, i invocation) ([]string, bool) {
	r, ok := i.command.(*restoreCommand)
	var failed *rsbtbackup.StepError
	var lacks *rsbtbackup.LacksError
	var fake *rsbtbackup.FakeSuperError
	switch {
	case !ok:
		return nil, false
	case errors.As(err, &lacks):
		return lacksHints(lacks, i), true
	case errors.As(err, &fake):
		return []string{"to restore them: " + quoteAll("rsbtbackup", "restore", i.dest(), r.Backup, "--target=DIR")}, true
	case errors.Is(err, rsbtbackup.ErrIncomplete) && os.Geteuid() != 0 && strings.Contains(err.Error(), "Permission denied"):
		return []string{"root has more rights: sudo " + i.goingOn(r)}, true
	case errors.Is(err, rsbtbackup.ErrInTheWay):
		return wayHints(r, i), true
	case errors.Is(err, rsbtbackup.ErrNotEmpty):
		return []string{"to look first: " + i.again("--dry-run"), "to restore what differs: " + i.again("--overwrite=if-changed")}, true
	case errors.Is(err, rsbtbackup.ErrTarget) && errors.Is(err, fs.ErrNotExist) && r.Target != "":
		return []string{"to make it: " + quoteAll("mkdir", "-p", filepath.Dir(strings.TrimRight(r.Target, "/")))}, true
	case errors.As(err, &failed) && failed.Step == "flush":
		return []string{"to see messages of the kernel about the target's disk: dmesg | tail"}, true
	case errors.Is(err, rsbtbackup.ErrNoSpace) && r.Target != "":
		return []string{"to see what is free there: " + quoteAll("df", "-h", r.Target)}, true
	}
	return nil, false
}

// goingOn is the same restore again. It needs an overwrite mode, because the target has the restored files by now; a
// mode that was given protects the same files again.
func (i invocation) goingOn(c *restoreCommand) string {
	if c.Overwrite == "" {
		return i.again("--overwrite=if-changed")
	}
	return i.again()
}

// wayHints: the protected files stay.
func wayHints(c *restoreCommand, i invocation) []string {
	elsewhere := "to restore it elsewhere: " + quoteAll("rsbtbackup", "restore", c.Dest, c.Backup, "PATH", "--target=DIR")
	if c.Delete || c.Overwrite == "never" || c.Overwrite == "if-newer" {
		return []string{elsewhere}
	}
	return []string{elsewhere, "to remove from the target all that the backup does not have: " + i.again("--delete")}
}

// lacksHints: protect the excluded files; deleting them is rarely intended.
func lacksHints(err *rsbtbackup.LacksError, i invocation) []string {
	var lines, rules []string
	for _, pattern := range err.Exclude {
		rules = append(rules, excludeFlag+pattern)
	}
	if rules != nil {
		lines = append(lines, "to keep it: "+i.again(rules...))
	}
	return append(lines, "to look first: "+i.again("--dry-run"), "to delete it nevertheless: "+i.again("--force"))
}

// guardHints: what to check, then how to continue nevertheless.
func guardHints(err error, i invocation) ([]string, bool) {
	var controls *controlsError
	var inside *rsbtbackup.DestInsideError
	switch {
	case errors.As(err, &controls):
		return []string{i.again() + " | less"}, true
	case errors.Is(err, rsbtbackup.ErrOverlap):
		return []string{"to see the order of the arguments: " + helpOf("backup")}, true
	case errors.As(err, &inside):
		return insideHints(inside, i), true
	case errors.Is(err, rsbtbackup.ErrOtherFilesystem):
		return filesystemHints(i), true
	case errors.Is(err, rsbtbackup.ErrUnusual):
		return unusualHints(i), true
	case errors.Is(err, rsbtbackup.ErrGuard):
		lines := overrideHints(i)
		return lines, lines != nil
	}
	return nil, false
}

// filesystemHints: more often a disk is not mounted than replaced.
func filesystemHints(i invocation) []string {
	switch c := i.command.(type) {
	case *backupCommand:
		return []string{"to see what is mounted: " + quoteAll("findmnt", "-R", "-T", c.Src), "if that is intended: " + i.again("--force")}
	case *restoreCommand:
		return []string{"to see what is mounted: findmnt", "to restore there nevertheless: " + i.again("--force")}
	}
	return nil
}

// unusualHints: the backup was made, so prune is the command that continues.
func unusualHints(i invocation) []string {
	look, again := i.again("--dry-run"), i.again("--force")
	if b, ok := i.command.(*backupCommand); ok {
		words := []string{"rsbtbackup", "prune", b.Dest}
		for n, word := range i.args {
			if strings.HasPrefix(word, "--keep-") {
				words = append(words, word)
				if !strings.Contains(word, "=") && n+1 < len(i.args) {
					words = append(words, i.args[n+1])
				}
			}
		}
		look, again = quoteAll(append(words, "--dry-run")...), quoteAll(append(words, "--force")...)
	}
	return []string{"to see what would be deleted: " + look, "if the clock is right, and that is intended: " + again}
}

// overrideHints: what to check, then how to continue nevertheless. For a DEST made from another SRC, DEST is more often
// the wrong one.
func overrideHints(i invocation) []string {
	if d, ok := i.command.(*deleteCommand); ok && !d.Force {
		return []string{"to look: " + quoteAll("rsbtbackup", "list", d.Dest), "to delete it nevertheless: " + i.again("--force")}
	}
	b, ok := i.command.(*backupCommand)
	if !ok || b.Force {
		return nil
	}
	var own []string
	if l, err := rsbtbackup.List(context.Background(), b.Dest); err == nil {
		if was := lastSource(l.Backups); was != "" && !isSource(b.Src, was) {
			own = i.ownDest(b, filepath.Dir(l.Dest))
		}
	}
	look := quoteAll("ls", "-la", b.Src)
	if isRemote(b.Src) {
		look = listOnly(cmp.Or(b.shell, b.Rsh), strings.TrimRight(b.Src, "/")+"/")
	}
	return append(own, "to look: "+look, "if that is right: "+i.again("--force"))
}

// insideHints: the ways to leave DEST out.
func insideHints(err *rsbtbackup.DestInsideError, i invocation) []string {
	var rules []string
	for _, pattern := range err.Exclude {
		rules = append(rules, excludeFlag+pattern)
	}
	leave := "to leave DEST out: " + i.again(rules...)
	if err.OtherFilesystem {
		return []string{"to stay on the filesystem of SRC: " + i.again("-x"), leave}
	}
	return []string{leave}
}

// fileHints: SRC is a file. Its directory with rules that leave out the rest is a SRC.
func fileHints(b *backupCommand, i invocation) []string {
	words := slices.Clone(i.args)
	at := slices.Index(words, b.Src)
	if at < 0 {
		return nil
	}
	words[at] = filepath.Dir(b.Src)
	only := "--filter=+ /" + escapePattern(filepath.Base(b.Src))
	words = slices.Insert(words, i.destAt()+1, only, "--filter=- *")
	return []string{"SRC has to be a directory; for this file alone, in a DEST of its own: " + quoteAll(append([]string{"rsbtbackup"}, words...)...)}
}

// escapePattern makes a name literal in a rule of rsync.
func escapePattern(name string) string {
	if !strings.ContainsAny(name, `*?[`) {
		return name
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

// isHere: a remote source has other users.
func isHere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// rsyncHints is for rsync's exit codes.
func rsyncHints(err error, i invocation) []string {
	var exit *rsbtbackup.RsyncExitError
	if !errors.As(err, &exit) {
		return nil
	}
	if r, ok := i.command.(*restoreCommand); ok && errors.Is(err, rsbtbackup.ErrTarget) && r.Target != "" {
		return []string{"to try the target alone: " + listOnly(r.Rsh, r.Target)}
	}
	b, ok := i.command.(*backupCommand)
	if !ok {
		return nil
	}
	switch refused := refusedOption(err.Error()); {
	case refused != "":
		return []string{"to do without: " + i.withRest(refused)}
	case errors.Is(err, rsbtbackup.ErrSource) && strings.HasPrefix(b.Src, "rsync://") && exit.Code == rsyncHandshake && !strings.Contains(err.Error(), "@ERROR"):
		return []string{"if it asks for a password: RSYNC_PASSWORD=... " + i.again()}
	case errors.Is(err, rsbtbackup.ErrSource):
		return []string{"to try the source alone: " + listOnly(cmp.Or(b.shell, b.Rsh), b.Src)}
	case b.Partial == partialRefuse && exit.Code == rsyncPartial:
		return []string{"to publish what could be read: " + i.again("--partial=publish")}
	}
	return nil
}

func listOnly(rsh, place string) string {
	words := []string{"rsync", "--list-only"}
	if rsh != "" {
		words = append(words, "-e", rsh)
	}
	return quoteAll(append(words, place)...)
}

// rsyncPartial is the exit code if not everything could be read, rsyncHandshake if a daemon refused the connection.
const (
	rsyncPartial   = 23
	rsyncHandshake = 5
)

// refusedOption is the option that does without what a daemon refuses ("The server is configured to refuse --acls").
func refusedOption(text string) string {
	for _, name := range []string{"acls", "xattrs"} {
		if strings.Contains(text, "configured to refuse --"+name) {
			return "--no-" + name
		}
	}
	return ""
}
