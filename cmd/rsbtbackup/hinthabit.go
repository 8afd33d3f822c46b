// Hints for what other programs have taught: ls -la, a target as the last argument, units as words, other names of
// rules.

package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

func habitHints(err *usageError, i invocation) []string {
	for _, find := range []func(*usageError, invocation) []string{longListHints, lastIsTargetHints, unitHints, ruleHints} {
		if lines := find(err, i); lines != nil {
			return lines
		}
	}
	return nil
}

// replaced is the command line with other words in place of the nth one.
func replaced(args []string, n int, words ...string) string {
	return quoteAll(slices.Concat([]string{"rsbtbackup"}, args[:n], words, args[n+1:])...)
}

var lettersOfLs = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^-[laonhR1]+$`) })

// longListHints: each line of ls has everything already.
func longListHints(err *usageError, i invocation) []string {
	n := slices.IndexFunc(i.args, lettersOfLs().MatchString)
	if err.verb != "ls" || n < 0 || !unknownFlag().MatchString(err.err.Error()) {
		return nil
	}
	var recursive []string
	if strings.Contains(i.args[n], "R") {
		recursive = []string{"-R"}
	}
	return []string{"each line is that of ls -lan already: " + replaced(i.args, n, recursive...)}
}

// lastIsTargetHints: cp and rsync take the target as the last argument.
func lastIsTargetHints(err *usageError, i invocation) []string {
	last := len(i.args) - 1
	if err.verb != "restore" || last < 3 || !strings.Contains(err.err.Error(), "give one of --target") || !filepath.IsAbs(i.args[last]) {
		return nil
	}
	return []string{"to restore into that directory: " + replaced(i.args, last, "--target="+i.args[last])}
}

var (
	badSpan  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`"([^"]+)" is no time span`) })
	spanPart = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^ *([0-9]+) *(h|d|w|m|y)(?:ours?|ays?|eeks?|onths?|ears?|rs?)? *`)
	})
)

// unitHints: 30days, 1 month.
func unitHints(err *usageError, i invocation) []string {
	found := badSpan().FindStringSubmatch(err.err.Error())
	if found == nil {
		return nil
	}
	short, rest := "", strings.ToLower(found[1])
	for part := spanPart().FindStringSubmatch(rest); part != nil; part = spanPart().FindStringSubmatch(rest) {
		short, rest = short+part[1]+part[2], rest[len(part[0]):]
	}
	n := slices.IndexFunc(i.args, func(word string) bool { return word == found[1] || strings.HasSuffix(word, "="+found[1]) })
	if _, err := retention.ParseSpan(short); err != nil || rest != "" || n < 0 {
		return nil
	}
	return []string{replaced(i.args, n, strings.TrimSuffix(i.args[n], found[1])+short)}
}

// ruleHints: rules of prune by the names that they have elsewhere.
func ruleHints(err *usageError, i invocation) []string {
	found := unknownFlag().FindStringSubmatch(err.err.Error())
	if found == nil || err.verb != "prune" && err.verb != "backup" {
		return nil
	}
	n := slices.IndexFunc(i.args, func(word string) bool { return strings.HasPrefix(word, found[1]+"=") })
	if n < 0 {
		return nil
	}
	_, value, _ := strings.Cut(i.args[n], "=")
	flag := map[string]string{"--keep": "--keep-last=", "--keep-hours": "--keep-hourly=", "--keep-days": "--keep-daily=", "--keep-weeks": "--keep-weekly=", "--keep-months": "--keep-monthly=", "--keep-years": "--keep-yearly=", "--older-than": "--keep-within=", "--max-age": "--keep-within="}[found[1]]
	if flag == "" {
		return nil
	}
	return []string{replaced(i.args, n, flag+value)}
}
