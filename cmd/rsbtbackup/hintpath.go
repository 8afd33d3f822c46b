// Hints about backups, and paths in them.

package main

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

// pathHints: the backup does not have a path, or the path is not a file.
func pathHints(err error, i invocation) ([]string, bool) {
	var failed *rsbtbackup.StepError
	c, isCat := i.command.(*catCommand)
	switch {
	case errors.Is(err, rsbtbackup.ErrNoPath):
		return noPathHints(i), true
	case isCat && errors.Is(err, rsbtbackup.ErrUsage) && errors.As(err, &failed) && failed.Step == "open":
		return []string{"to see what it is: " + quoteAll("rsbtbackup", "ls", c.Dest, c.Backup, "--", c.namedIn(err))}, true
	case errors.Is(err, rsbtbackup.ErrTooLarge):
		return bothFilesHints("diff -u", i), true
	case errors.Is(err, rsbtbackup.ErrBinary):
		return bothFilesHints("cmp", i), true
	}
	return nil, false
}

// namedIn is the path that err names.
func (c *catCommand) namedIn(err error) string {
	at := slices.IndexFunc(c.Paths, func(path string) bool {
		return strings.Contains(err.Error(), strconv.Quote(strings.TrimLeft(filepath.Clean(path), "/")))
	})
	return c.Paths[max(at, 0)]
}

// noPathHints: the path may be given as it is at the source. Otherwise the contents of the backup are shown.
func noPathHints(i invocation) []string {
	l, err := rsbtbackup.List(context.Background(), i.dest())
	if err == nil && len(l.Backups) == 0 {
		return firstHints(i)
	}
	backup, paths := latest, i.paths()
	if refs := i.backups(); len(refs) > 0 {
		backup = refs[len(refs)-1]
	}
	if err == nil {
		if words := belowSource(i.args, paths, lastSource(l.Backups)); words != nil {
			return []string{"paths are those below SRC: " + quoteAll(append([]string{"rsbtbackup"}, words...)...)}
		}
	}
	return []string{quoteAll("rsbtbackup", "ls", i.dest(), backup)}
}

// belowSource is args with each of paths that begins with src made relative to it, or nil if none does.
func belowSource(args, paths []string, src string) []string {
	src = "/" + strings.Trim(src[strings.LastIndex(src, ":")+1:], "/") + "/"
	words := slices.Clone(args)
	for _, path := range paths {
		below, found := strings.CutPrefix(filepath.Clean(path), src)
		at := slices.Index(words, path)
		if !found || at < 0 || src == "//" {
			return nil
		}
		words[at] = below
	}
	if len(paths) == 0 {
		return nil
	}
	return words
}

// paths are the PATH arguments.
func (i invocation) paths() []string {
	var one *string
	switch c := i.command.(type) {
	case *catCommand:
		return c.Paths
	case *restoreCommand:
		return c.Paths
	case *historyCommand:
		return []string{c.Path}
	case *lsCommand:
		one = c.Path
	case *diffCommand:
		one = c.Path
	}
	if one == nil {
		return nil
	}
	return []string{*one}
}

// backupHints: a backup is missing, damaged, or differs from what it is compared with.
func backupHints(err error, i invocation) ([]string, bool) {
	switch {
	case errors.Is(err, rsbtbackup.ErrDamaged):
		return healHints(i), true
	case errors.Is(err, rsbtbackup.ErrDiffers):
		return rulesHints(i), true
	case errors.Is(err, rsbtbackup.ErrNoBackup), errors.Is(err, rsbtbackup.ErrAmbiguous), errors.Is(err, rsbtbackup.ErrBackupGone):
		if l, err := rsbtbackup.List(context.Background(), i.dest()); err == nil && len(l.Backups) == 0 {
			return firstHints(i), true
		}
		return []string{cmp.Or(i.spelled(), withLatest(i), quoteAll("rsbtbackup", "list", i.dest()))}, true
	}
	return nil, false
}

// firstHints: there is no backup yet.
func firstHints(i invocation) []string {
	if l, err := rsbtbackup.List(context.Background(), i.dest()); err == nil {
		if plain := plainCopies(l); len(plain) > 0 {
			return []string{"its directories are no backups, as if cp or rsync had copied them; to take files from one: " + quoteAll("ls", "-la", filepath.Join(l.Dest, plain[len(plain)-1])), "backups are copied by: " + helpOf("copy")}
		}
	}
	return []string{"there is no backup in it yet; to make the first: " + quoteAll("rsbtbackup", "backup", "SRC", i.dest())}
}

// rulesHints: a backup made with rules differs from its source in the files that they leave out.
func rulesHints(i invocation) []string {
	c, ok := i.command.(*verifyCommand)
	l, err := rsbtbackup.List(context.Background(), i.dest())
	if !ok || err != nil || len(l.Backups) == 0 || c.OneFileSystem || len(c.Exclude)+len(c.ExcludeFrom)+len(c.Filter) > 0 {
		return nil
	}
	b := l.Backups[len(l.Backups)-1]
	for _, named := range l.Backups {
		if c.backup() != "" && c.backup() != latest && strings.HasPrefix(named.Name, c.backup()) {
			b = named
		}
	}
	if b.Record == nil || !isSource(c.Against, b.Record.SourceName()) {
		return nil
	}
	var rules []string
	for _, rule := range b.Record.Rules {
		if name, _, _ := strings.Cut(rule, "="); slices.Contains([]string{"--one-file-system", "--exclude", "--exclude-from", "--filter", "--exclude-caches", "--exclude-if-present"}, name) {
			rules = append(rules, rule)
		}
	}
	if rules == nil {
		return nil
	}
	words := append([]string{"rsbtbackup"}, i.args...)
	return []string{"it was made with rules; to compare by the same: " + quoteAll(append(words, rules...)...)}
}

// bothFilesHints uses the syntax of bash, zsh and ksh.
func bothFilesHints(program string, i invocation) []string {
	c, ok := i.command.(*diffCommand)
	if !ok {
		return nil
	}
	cat := func(backup string) string {
		return " <(" + quoteAll("rsbtbackup", "cat", c.Dest, backup, "--", pathOr(c.Path, "PATH")) + ")"
	}
	return []string{program + cat(c.A) + cat(c.B)}
}
