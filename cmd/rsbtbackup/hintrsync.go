// Hints about options of rsync that are given as if they were options of backup.

package main

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

// rsyncFlagHints: an option that rsync has is passed on after "--", or is not needed here.
func rsyncFlagHints(flag string, i invocation) []string {
	ours, rest, _ := cutRest(i.args)
	at := slices.IndexFunc(ours, func(word string) bool { return word == flag || strings.HasPrefix(word, flag+"=") })
	if at < 0 {
		return clusterHints(flag, ours, rest)
	}
	typed, words := ours[at], slices.Delete(slices.Clone(ours), at, at+1)
	dest := parsedDest(words)
	if dest == "" && at < len(words) { // the next word is its value
		typed += "=" + words[at]
		words = slices.Delete(words, at, at+1)
		dest = parsedDest(words)
	}
	left := append([]string{"rsbtbackup"}, words...)
	var refused *rsbtbackup.RsyncOptionError
	switch err := rsbtbackup.CheckRsyncArgs([]string{typed}); {
	case err == nil && dest == "":
		return nil
	case err == nil:
		return []string{"options of rsync follow --: " + quoteAll(slices.Concat(left, []string{"--", typed}, rest)...)}
	case !errors.As(err, &refused) || refused.Hint == "":
		return nil
	case dest == "":
		return []string{hintFor(refused, "DEST")}
	case len(rest) > 0:
		left = slices.Concat(left, []string{"--"}, rest)
	}
	return []string{hintFor(refused, dest), "to go on without it: " + quoteAll(left...)}
}

// hintFor is the hint of the library, with the DEST there is.
func hintFor(err *rsbtbackup.RsyncOptionError, dest string) string {
	return strings.ReplaceAll(err.Hint, " DEST ", " "+quote(dest)+" ")
}

// parsedDest is DEST in a command line without what follows "--", or empty if that makes no sense.
func parsedDest(words []string) string {
	c, err := parse(&grammar{}, words, io.Discard, io.Discard)
	if has, ok := c.(hasDest); ok && err == nil {
		return has.dest()
	}
	return ""
}

// clusterHints: of the letters that people give to rsync in one word, those that are needed here, each in its place.
func clusterHints(flag string, ours, rest []string) []string {
	at := slices.IndexFunc(ours, func(word string) bool {
		return len(flag) == 2 && len(word) > 2 && word[0] == '-' && word[1] != '-' && strings.Contains(word, flag[1:])
	})
	if at < 0 {
		return nil
	}
	without := slices.Delete(slices.Clone(ours), at, at+1)
	var here, there []string
	for _, letter := range ours[at][1:] {
		switch option := "-" + string(letter); {
		case strings.Contains(alwaysOn, " "+option+" "):
		case parsedDest(append(slices.Clone(without), option)) != "":
			here = append(here, option)
		case rsbtbackup.CheckRsyncArgs([]string{option}) == nil:
			there = append(there, option)
		}
	}
	words := slices.Concat([]string{"rsbtbackup"}, without, here)
	if len(there)+len(rest) > 0 {
		words = slices.Concat(words, []string{"--"}, there, rest)
	}
	return []string{"what rsync's " + ours[at] + " asks for, as far as it is not on always: " + quoteAll(words...)}
}
