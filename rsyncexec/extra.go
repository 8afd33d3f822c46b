package rsyncexec

import (
	"fmt"
	"slices"
	"strings"
)

// ExtraError is an option of Options.Extra that CheckExtra refuses. Arg is the option as rsync(1) spells it, or the
// offending argument. Hint is "" or what to do instead.
type ExtraError struct {
	Arg    string
	Reason string
	Hint   string
}

func (e *ExtraError) Error() string {
	return fmt.Sprintf("rsync option %q cannot be passed on: %s", e.Arg, e.Reason)
}

// CheckExtra checks further options for rsync, those a user gives after "--". It refuses what would change the source,
// write outside the destination, or make a destination that is not a copy of the source; anything that is not an
// option; and any unknown option, also an abbreviated one, because rsync does not accept abbreviations. Options that
// only leave something out (--exclude, --one-file-system, --no-acls) are accepted. Options that take a value are known,
// so a value is not mistaken for something else. The error is an *ExtraError.
func CheckExtra(args []string) error {
	for len(args) > 0 {
		found, rest, err := nextOptions(args)
		if err != nil {
			return err
		}
		for _, option := range found {
			if err := option.check(); err != nil {
				return err
			}
		}
		args = rest
	}
	return nil
}

// DryRunAsked reports whether -n or --dry-run is among the options, also in a cluster such as -vn.
func DryRunAsked(args []string) bool { return asked(args, "dry-run") }

// ChecksumAsked reports whether -c or --checksum is among the options.
func ChecksumAsked(args []string) bool { return asked(args, "checksum") }

// ComparesAll reports whether -c or -I is among the options: files of equal size and time are not skipped then.
func ComparesAll(args []string) bool { return ChecksumAsked(args) || asked(args, "ignore-times") }

// RemoteOptionAsked reports whether -M or --remote-option is among the options.
func RemoteOptionAsked(args []string) bool { return asked(args, "remote-option") }

func asked(args []string, long string) bool {
	return slices.ContainsFunc(options(args), func(o given) bool { return o.rule.long == long })
}

// options returns all options in args, or none if CheckExtra would refuse them.
func options(args []string) []given {
	var all []given
	for len(args) > 0 {
		found, rest, err := nextOptions(args)
		if err != nil {
			return nil
		}
		all, args = append(all, found...), rest
	}
	return all
}

// given is one option as it was given. arg is its spelling with dashes, value its value.
type given struct {
	arg   string
	value string
	rule  rule
}

func (g given) check() error {
	if g.rule.refuse != "" {
		return &ExtraError{Arg: g.arg, Reason: g.rule.refuse, Hint: g.rule.hint}
	}
	if g.rule.values != nil {
		return g.rule.values(g)
	}
	return nil
}

// nextOptions reads the options in the first argument, with the value from the second one where needed.
func nextOptions(args []string) (found []given, rest []string, err error) {
	arg, rest := args[0], args[1:]
	switch {
	case arg == "--":
		return nil, nil, &ExtraError{Arg: arg, Reason: "source and destination are given by this program", Hint: "leave out the second \"--\""}
	case strings.HasPrefix(arg, "--"):
		return longOption(arg, rest)
	case len(arg) > 1 && arg[0] == '-':
		return cluster(arg, rest)
	default:
		return nil, nil, &ExtraError{Arg: arg, Reason: "it is not an option, and there can be no further source or destination",
			Hint: "write the value of a long option as --option=value"}
	}
}

func longOption(arg string, rest []string) ([]given, []string, error) {
	name, value, joined := strings.Cut(arg, "=")
	found := given{arg: name, value: value, rule: longRule(name[2:])}
	switch {
	case found.rule.unknown():
		return nil, nil, unknownOption(name)
	case joined && !found.rule.value && found.rule.refuse == "":
		return nil, nil, &ExtraError{Arg: arg, Reason: "the option takes no value"}
	case found.rule.value && !joined:
		return takeValue(nil, found, rest)
	}
	return []given{found}, rest, nil
}

// cluster reads "-avze": the value of the first option that takes one is the rest of the argument, or the next one.
func cluster(arg string, rest []string) ([]given, []string, error) {
	var found []given
	for i := 1; i < len(arg); i++ {
		option := given{arg: "-" + arg[i:i+1], rule: shortRule(arg[i])}
		switch {
		case option.rule.unknown():
			return nil, nil, unknownOption(option.arg)
		case option.rule.value && i+1 < len(arg):
			option.value = strings.TrimPrefix(arg[i+1:], "=") // popt allows -B=1024
			return append(found, option), rest, nil
		case option.rule.value:
			return takeValue(found, option, rest)
		}
		found = append(found, option)
	}
	return found, rest, nil
}

func takeValue(found []given, option given, rest []string) ([]given, []string, error) {
	if len(rest) == 0 && option.rule.refuse == "" {
		return nil, nil, &ExtraError{Arg: option.arg, Reason: "its value is missing"}
	}
	if len(rest) > 0 {
		option.value, rest = rest[0], rest[1:]
	}
	return append(found, option), rest, nil
}

func unknownOption(arg string) error {
	return &ExtraError{Arg: arg, Reason: "it is unknown, and so is its effect on the backup"}
}

// checkRemoteOption accepts options that are known to be harmless if only the other side gets them. That side reads the
// source (or writes, in a local copy), and most options must be the same on both sides: with -M--dry-run the other side
// sends nothing, and rsync 3.5.0 exits with 0. With -M--no-super the receiver of a local copy sets no owners, and rsync
// exits with 0 too.
func checkRemoteOption(g given) error {
	switch g.value {
	case "--fake-super", "--super":
		return nil
	}
	if strings.HasPrefix(g.value, "--bwlimit=") {
		return nil
	}
	return &ExtraError{Arg: g.arg + " " + g.value, Reason: "the two ends would disagree", Hint: "only --bwlimit, --fake-super and --super can be given to the other end alone"}
}
