package rsyncexec

import (
	"strings"
)

// CheckRules checks Options.Filter and Options.ExcludeFrom, as CheckExtra checks rsync's own options. It refuses rules
// that protect files in the backup that are gone from the source, and rules read from a file descriptor, because rsync
// inherits none. Rules in files are not checked. The error is an *ExtraError.
func CheckRules(filter, excludeFrom []string) error {
	for _, rule := range filter {
		if err := checkFilter(given{arg: "--filter", value: rule}); err != nil {
			return err
		}
	}
	for _, file := range excludeFrom {
		if err := checkRuleFile(given{arg: "--exclude-from", value: file}); err != nil {
			return err
		}
	}
	return nil
}

// RuleFiles returns the files from which rsync reads rules at its start: those of Options.ExcludeFrom, and those that
// Options.Filter and Options.Extra merge.
func RuleFiles(filter, excludeFrom, extra []string) []string {
	var files []string
	for _, rule := range filter {
		files = append(files, merged(rule)...)
	}
	files = append(files, excludeFrom...)
	for _, option := range options(extra) {
		switch option.rule.long {
		case "filter":
			files = append(files, merged(option.value)...)
		case "exclude-from", "include-from":
			files = append(files, option.value)
		}
	}
	return files
}

// DirRuleFiles returns the names of the files from which rsync reads rules in each directory of the source: those of
// dir-merge rules in Options.Filter and Options.Extra, and of -F. A name may be a path, such as "/../.rules".
func DirRuleFiles(filter, extra []string) []string {
	var names []string
	add := func(rule string) {
		switch r := parseFilter(rule); {
		case r.name == ":" && strings.Contains(r.modifiers, "C"):
			names = append(names, ".cvsignore")
		case r.name == ":" && r.pattern != "":
			names = append(names, strings.TrimLeft(r.pattern, " "))
		}
	}
	for _, rule := range filter {
		add(rule)
	}
	for _, option := range options(extra) {
		switch {
		case option.rule.long == "filter":
			add(option.value)
		case option.rule.long == "cvs-exclude":
			names = append(names, ".cvsignore")
		case option.arg == "-F":
			names = append(names, ".rsync-filter")
		}
	}
	return names
}

// filterRule is a rule as --filter takes it: "exclude,s PATTERN", "-s PATTERN", "-,s_PATTERN".
type filterRule struct {
	name      string // the short name of one character, if there is one
	modifiers string
	pattern   string
}

func parseFilter(rule string) filterRule {
	head, pattern := rule, ""
	if end := strings.IndexAny(rule, " _"); end >= 0 {
		head, pattern = rule[:end], rule[end+1:]
	}
	short := map[string]string{"exclude": "-", "protect": "P", "merge": ".", "dir-merge": ":"}
	name, modifiers, _ := strings.Cut(head, ",")
	if c, ok := short[name]; ok {
		return filterRule{c, modifiers, pattern}
	}
	if head == "" {
		return filterRule{pattern: pattern}
	}
	return filterRule{head[:1], strings.TrimPrefix(head[1:], ","), pattern}
}

// protects reports whether a rule protects matching files from deletion. An exclude rule does so only with the modifier
// "r": with --delete-excluded the others apply only to the sender.
func (r filterRule) protects() bool {
	return r.name == "P" || strings.Contains("-.:", r.name) && r.name != "" && strings.Contains(r.modifiers, "r")
}

// merged is the file that a rule merges, if any.
func merged(rule string) []string {
	if r := parseFilter(rule); r.name == "." && r.pattern != "" {
		return []string{r.pattern}
	}
	return nil
}

func checkFilter(g given) error {
	if parseFilter(g.value).protects() {
		return &ExtraError{Arg: g.arg + "=" + g.value, Reason: "files that are gone from the source would stay in the backup"}
	}
	for _, file := range merged(g.value) {
		if err := checkRuleFile(given{arg: g.arg, value: file}); err != nil {
			return err
		}
	}
	return nil
}

// checkRuleFile: rsync's standard input is /dev/null, so it would silently read no rule.
func checkRuleFile(g given) error {
	open := g.value == "-" || g.value == "/dev/stdin"
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		open = open || strings.HasPrefix(g.value, dir)
	}
	if open {
		return &ExtraError{Arg: g.arg + " " + g.value, Reason: "rsync runs without standard input and other open files", Hint: "write the rules to a file, and name that"}
	}
	return nil
}
