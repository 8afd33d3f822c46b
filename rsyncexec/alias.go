package rsyncexec

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// AliasError is a line of a popt configuration file that would change the meaning of an option we pass.
type AliasError struct {
	File   string
	Line   int
	Option string
}

func (e *AliasError) Error() string {
	return fmt.Sprintf("%s:%d: the alias or exec line for rsync's %s would change what is copied, or what rsync says of it; remove it", e.File, e.Line, e.Option)
}

// checkAliases looks for what popt, rsync's option parser, reads before the command line: /etc/popt, /etc/popt.d/* and
// ~/.popt can redefine any option ("rsync alias -a -r" makes -a lose times, owners and links: rsync 3.5.0 with popt
// 1.19), and no option or environment variable turns that off, except a false HOME, but a remote shell needs HOME. A
// line is accepted if it concerns an option not in argv, or keeps the option and adds only what CheckExtra allows and
// what changes no copy, such as "rsync alias -a -a@-1" from rsync(1). Nobody would know of a rule that stands there.
func checkAliases(argv []string, home string) error {
	files := []string{"/etc/popt"}
	more, err := filepath.Glob("/etc/popt.d/*")
	if err != nil {
		return fmt.Errorf("rsync: /etc/popt.d: %w", err)
	}
	files = append(files, more...)
	if home != "" {
		files = append(files, filepath.Join(home, ".popt"))
	}
	used := optionNames(argv)
	for _, file := range files {
		if err := checkAliasFile(file, used); err != nil {
			return err
		}
	}
	return nil
}

// checkAliasFile skips a file that this user cannot see: rsync, running as the same user, does not see it either.
func checkAliasFile(file string, used map[string]bool) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("rsync: reading popt aliases: %w", err)
	}
	defer f.Close()
	var logical string // continued by a backslash at the end of the line
	scan := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for n := 1; scan.Scan(); n++ {
		part, continued := strings.CutSuffix(scan.Text(), `\`)
		logical += part
		if continued {
			continue
		}
		if option, ok := harmfulAlias(logical, used); ok {
			return &AliasError{File: file, Line: n, Option: option}
		}
		logical = ""
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("rsync: reading popt aliases: %w", &fs.PathError{Op: "read", Path: file, Err: err})
	}
	return nil
}

// harmfulAlias reads one line: PROGRAM alias|exec OPTION EXPANSION... PROGRAM is a shell pattern (popt 1.19).
func harmfulAlias(line string, used map[string]bool) (option string, harmful bool) {
	words := strings.Fields(line)
	if len(words) < 3 || !forRsync(words[0]) || words[1] != "alias" && words[1] != "exec" || !used[words[2]] {
		return "", false
	}
	if words[1] == "exec" {
		return words[2], true
	}
	var added []string
	kept := false
	for _, word := range words[3:] {
		switch {
		case strings.HasPrefix(word, "--POPTdesc=") || strings.HasPrefix(word, "--POPTargs="):
		case word == words[2]:
			kept = true
		case word == words[2]+"@-1" || word == "-@-1" || word == "--modify-window=-1":
			kept = kept || word == words[2]+"@-1"
		default:
			added = append(added, word)
		}
	}
	return words[2], !kept || CheckExtra(added) != nil || changesCopy(added)
}

// changesCopy reports whether one of the options leaves out files or attributes.
func changesCopy(args []string) bool {
	return slices.ContainsFunc(options(args), func(o given) bool {
		switch o.rule.long {
		case "cvs-exclude", "filter", "exclude", "exclude-from", "include", "include-from", "prune-empty-dirs", "super", "fake-super", "from0", "remote-option":
			return true
		}
		return o.rule.short == 'F' || strings.HasPrefix(o.rule.long, "no-")
	})
}

// forRsync is true also for an invalid pattern.
func forRsync(pattern string) bool {
	fits, err := path.Match(pattern, "rsync")
	return fits || err != nil
}

// optionNames is the set of options in argv up to "--", with the letters of a cluster as separate options. The value in
// a cluster may add letters that are no options; that only makes the check stricter.
func optionNames(argv []string) map[string]bool {
	used := map[string]bool{}
	for _, arg := range argv {
		switch {
		case arg == "--":
			return used
		case strings.HasPrefix(arg, "--"):
			name, _, _ := strings.Cut(arg, "=")
			used[name] = true
		case strings.HasPrefix(arg, "-"):
			for _, c := range arg[1:] {
				used["-"+string(c)] = true
			}
		}
	}
	return used
}
