// Hints about an invalid command line: what may have been meant.

package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// commandLineHints: the command line cannot be run.
func commandLineHints(err error, i invocation) ([]string, bool) {
	var usage *usageError
	var option *rsbtbackup.RsyncOptionError
	var checked *problemsError
	var unknown *config.UnknownError
	switch {
	case errors.As(err, &usage):
		return usageHints(usage, i), true
	case errors.As(err, &checked):
		if slices.ContainsFunc(checked.problems, func(p config.Problem) bool {
			return strings.Contains(p.Text, "unknown key") && !strings.Contains(p.Text, "did you mean")
		}) {
			return []string{"to see every key: rsbtbackup config example"}, true
		}
		return nil, true // each was printed with its hint
	case errors.Is(err, config.ErrNoConfig):
		return []string{"to begin one: rsbtbackup config example >" + quote(newConfig(os.Geteuid(), os.Getenv))}, true
	case errors.Is(err, config.ErrConfig):
		return []string{"to see all that is wrong: " + i.configCheck()}, true
	case errors.As(err, &unknown):
		return []string{"to see which there are: " + i.configShow()}, true
	case errors.As(err, &option):
		return optionHints(option, i), true
	}
	return nil, false
}

// optionHints: the library's message is the same for every program.
func optionHints(err *rsbtbackup.RsyncOptionError, i invocation) []string {
	switch name, _, _ := strings.Cut(err.Arg, "="); {
	case slices.Contains([]string{"-v", "--verbose", "-x", "--one-file-system"}, name):
		ours, rest, _ := cutRest(i.args)
		rest = slices.DeleteFunc(slices.Clone(rest), func(word string) bool { return word == name })
		words := slices.Concat([]string{"rsbtbackup"}, ours, []string{name})
		if len(rest) > 0 {
			words = slices.Concat(words, []string{"--"}, rest)
		}
		lines := []string{"it is an option of this program, too: " + quoteAll(words...)}
		if name[len(name)-1] == 'x' || strings.HasSuffix(name, "system") {
			return lines
		}
		return append(lines, "to see what changed: "+quoteAll("rsbtbackup", "diff", i.dest(), "latest~1", latest))
	}
	var lines []string
	if err.Hint != "" {
		lines = append(lines, hintFor(err, i.dest()))
	}
	if at := slices.IndexFunc(i.args, func(word string) bool { return word == err.Arg || strings.HasPrefix(word, err.Arg+"=") }); at >= 0 {
		lines = append(lines, "to go on without it: "+i.withoutRest(i.args[at]))
	}
	if err.Hint == "" {
		lines = append(lines, "to see what can be passed on: "+quoteAll("rsbtbackup", "backup", "--help"))
	}
	return lines
}

// usageHints: a path into a backup was given as one word instead of several, or an option of rsync or another verb was
// used.
func usageHints(err *usageError, i invocation) []string {
	if spelled := i.spelled(); spelled != "" {
		return []string{spelled}
	}
	if strings.HasSuffix(err.err.Error(), "need --prune") {
		return []string{i.again("--prune")}
	}
	for _, find := range []func(*usageError, invocation) []string{foreignHints, verbHints, habitHints, flagHints, dashHints, swappedAgeHints, surplusHints, lackingHints} {
		if lines := find(err, i); lines != nil {
			return lines
		}
	}
	return []string{helpOf(err.verb)}
}

// helpOf is the command that shows the help of a verb, or of all.
func helpOf(verb string) string {
	return quoteAll(slices.Concat([]string{"rsbtbackup"}, strings.Fields(verb), []string{"--help"})...)
}

var meant = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^unexpected argument (\S+), did you mean (?:one of )?(.*)\?$`)
})

// verbHints: each similar verb, in the place of what was typed.
func verbHints(err *usageError, i invocation) []string {
	found := meant().FindStringSubmatch(err.err.Error())
	if err.verb != "" || found == nil {
		return nil
	}
	at := slices.Index(i.args, found[1])
	if at < 0 {
		return nil
	}
	var lines []string
	for verb := range strings.SplitSeq(found[2], ", ") {
		words := slices.Clone(i.args)
		words[at] = strings.Trim(verb, `"`)
		if len(words) == at+1 {
			words = append(words, "--help")
		}
		lines = append(lines, quoteAll(append([]string{"rsbtbackup"}, words...)...))
	}
	return lines
}

// unknownFlag is kong's message.
var unknownFlag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^unknown flag (--?[^\s,]+)`) })

// alwaysOn are options of rsync that every transfer has.
const alwaysOn = " -a --archive -r --recursive -l --links -p --perms -t --times -g --group -o --owner -D --devices --specials" +
	" -H --hard-links -A --acls -X --xattrs --numeric-ids --delete --del "

// flagHints: an option of rsync, or of another verb.
func flagHints(err *usageError, i invocation) []string {
	found := unknownFlag().FindStringSubmatch(err.err.Error())
	if found == nil {
		return nil
	}
	flag := found[1]
	if name := slices.IndexFunc(i.args, func(word string) bool { return strings.HasPrefix(word, flag) && isHere(word) }); name >= 0 {
		return dashPath(i.args, i.args[name])
	}
	at := slices.IndexFunc(i.args, func(word string) bool { return word == flag || strings.HasPrefix(word, flag+"=") })
	typed := flag
	if at >= 0 {
		typed = i.args[at]
	}
	isBackup := err.verb == "backup"
	switch {
	case at < 0 && strings.HasPrefix(flag, "--"):
		return nil
	case isBackup && at < 0:
		return rsyncFlagHints(flag, i)
	case isBackup && flag == "--include" && at >= 0:
		return includeHint(i.args, at)
	case err.verb == "backup" && strings.Contains(alwaysOn, " "+flag+" "), err.verb == "restore" && strings.Contains(strings.ReplaceAll(alwaysOn, "--delete", ""), " "+flag+" "):
		line := flag + " is on always"
		if at >= 0 {
			line += ": " + quoteAll(slices.Concat([]string{"rsbtbackup"}, i.args[:at], i.args[at+1:])...)
		}
		return []string{line}
	case isBackup:
		if lines := rsyncFlagHints(flag, i); lines != nil {
			return lines
		}
	}
	return otherVerbHints(flag, typed, err.verb, i)
}

// includeHint: the first matching rule decides, and options after -- come last.
func includeHint(args []string, at int) []string {
	words := slices.Clone(args)
	if _, pattern, joined := strings.Cut(words[at], "="); joined {
		words[at] = "--filter=+ " + pattern
	} else if at+1 < len(words) {
		words = slices.Replace(words, at, at+2, "--filter=+ "+words[at+1])
	}
	return []string{"to include what a later --exclude would leave out: " + quoteAll(append([]string{"rsbtbackup"}, words...)...)}
}

// otherVerbHints names the first other verb that has the flag; for a verb that prunes DEST is added.
func otherVerbHints(flag, typed, verb string, i invocation) []string {
	root, err := wholeGrammar()
	if err != nil {
		return nil
	}
	for _, node := range root.Children {
		has := slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return "--"+f.Name == flag })
		if node.Name == verb || node.Hidden || !has {
			continue
		}
		if verb == "backup" && node.Name == "prune" {
			words := i.args
			if at := slices.Index(words, typed); typed == flag && at >= 0 && at+1 < len(words) && !isHere(words[at+1]) {
				typed, words = flag+"="+words[at+1], slices.Delete(slices.Clone(words), at, at+2)
			}
			return []string{"it is an option of prune, to run afterwards: " + quoteAll("rsbtbackup", "prune", lastPath(words), typed)}
		}
		return []string{"it is an option of " + node.Name + ": " + helpOf(node.Name), helpOf(verb)}
	}
	return nil
}

// lastPath is the last word that is not a flag.
func lastPath(args []string) string {
	for _, word := range slices.Backward(args) {
		if !strings.HasPrefix(word, "-") {
			return word
		}
	}
	return "DEST"
}

// dashHints: arguments after -- are for rsync, also a name that begins with a dash.
func dashHints(err *usageError, i invocation) []string {
	_, rest, dashes := cutRest(i.args)
	if err.verb != "backup" || !dashes || len(rest) == 0 || !strings.HasPrefix(err.err.Error(), "expected ") {
		return nil
	}
	return dashPath(slices.DeleteFunc(slices.Clone(i.args), func(word string) bool { return word == "--" }), rest[len(rest)-1])
}

// dashPath is the command line with ./ before a name that begins with a dash.
func dashPath(args []string, name string) []string {
	words := slices.Clone(args)
	for n, word := range words {
		if word == name && strings.HasPrefix(word, "-") {
			words[n] = "./" + word
		}
	}
	return []string{"a path that begins with a dash is written ./-name: " + quoteAll(append([]string{"rsbtbackup"}, words...)...)}
}

// swappedAgeHints: rotate with DEST and AGE exchanged.
func swappedAgeHints(err *usageError, i invocation) []string {
	at := slices.Index(i.args, "rotate")
	if err.verb != "rotate" || at < 0 || len(i.args) < at+3 {
		return nil
	}
	words := slices.Clone(i.args)
	if _, err := retention.ParseSpan(words[at+1]); err != nil || !strings.ContainsRune(filepath.Clean(words[at+2]), os.PathSeparator) && !isHere(words[at+2]) {
		return nil
	}
	words[at+1], words[at+2] = words[at+2], words[at+1]
	return []string{"DEST comes first: " + quoteAll(append([]string{"rsbtbackup"}, words...)...)}
}
