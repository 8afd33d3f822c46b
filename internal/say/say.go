package say

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ShortAge is rounded to the minute, or below one minute to the second.
func ShortAge(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	hours, minutes := d/time.Hour, d%time.Hour/time.Minute
	switch {
	case hours == 0:
		return fmt.Sprintf("%dm", minutes)
	case minutes == 0:
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dh %dm", hours, minutes)
}

func SomeNames(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

func Percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) * 100 / float64(whole)
}

func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Are is the subject of a sentence, with its verb.
func Are(n int, noun string) string {
	verb := " are"
	if n == 1 {
		verb = " is"
	}
	return Plural(n, noun) + verb
}

// maxSkipped bounds how many left-out directories are named to the user.
const maxSkipped = 20

// QuoteSome lists paths, quoted if one could be mistaken for several, or for part of the sentence.
func QuoteSome(paths []string) string {
	var names []string
	for _, path := range paths[:min(len(paths), maxSkipped)] {
		if path == "" || strings.ContainsFunc(path, func(r rune) bool { return strings.ContainsRune(` ,:;"'\`, r) || !strconv.IsPrint(r) }) || !utf8.ValidString(path) {
			path = strconv.Quote(path)
		}
		names = append(names, path)
	}
	text := strings.Join(names, ", ")
	if more := len(paths) - maxSkipped; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// QuoteForJSON quotes the paths that JSON cannot hold.
func QuoteForJSON(paths []string) []string {
	var texts []string
	for _, path := range paths {
		if !utf8.ValidString(path) {
			path = strconv.Quote(path)
		}
		texts = append(texts, path)
	}
	return texts
}

// AndMore counts the files that rsync complained about, without the first.
func AndMore(failed int) string {
	switch {
	case failed < 2:
		return ""
	case failed == 2:
		return ", and 1 more file"
	}
	return fmt.Sprintf(", and %d more files", failed-1)
}
