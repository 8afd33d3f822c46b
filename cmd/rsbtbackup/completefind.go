// The candidates for a word, from the grammar, DEST or a backup.

package main

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// mostPaths limits the number of candidates.
const mostPaths = 1000

// candidates returns the complete words that the word under the cursor can become.
func candidates(ctx context.Context, q question) []candidate {
	var all []candidate
	switch q.completer {
	case theGrammar:
		all = q.choices
	case backups:
		// If there is no list, there are no candidates.
		if l, err := rsbtbackup.List(ctx, q.given["DEST"]); err == nil {
			all = backupChoices(l.Backups, q.typed, time.Now())
		}
	case jobNames:
		all = fromConfig(jobChoices)
	case groupNames:
		all = fromConfig(groupChoices)
	case paths:
		all = pathChoices(ctx, q)
	}
	var found []candidate
	for _, c := range all {
		if strings.HasPrefix(c.text, q.typed) {
			c.text = q.head + c.text
			found = append(found, c)
		}
	}
	return found
}

// fromConfig reads the config that run would read.
func fromConfig(choices func(*config.Config) []candidate) []candidate {
	file, err := config.Find("")
	if err != nil {
		return nil
	}
	c, err := config.Load(file)
	if err != nil {
		return nil // config check reports the reason
	}
	return choices(c)
}

func jobChoices(c *config.Config) []candidate {
	var choices []candidate
	for _, j := range c.Jobs {
		if j.Table != j.Name && !slices.Contains(choices, candidate{text: j.Table}) {
			choices = append(choices, candidate{text: j.Table})
		}
		choices = append(choices, candidate{j.Name, clean(j.Backup.Source)})
	}
	return choices
}

func groupChoices(c *config.Config) []candidate {
	var choices []candidate
	for _, group := range c.Groups {
		jobs, err := c.SelectGroup(group)
		if err != nil {
			continue // "nothing" has no values
		}
		choices = append(choices, candidate{group, plural(int64(len(jobs)), "job")})
	}
	return choices
}

// backupChoices has the newest backup first, and latest~N for each backup once a number is being typed.
func backupChoices(backups []rsbtbackup.Snapshot, typed string, now time.Time) []candidate {
	var choices []candidate
	for i, b := range slices.Backward(backups) {
		back := len(backups) - 1 - i
		if back == 0 {
			choices = append(choices, candidate{"latest", b.Name})
		}
		if back > 0 && strings.HasPrefix(typed, "latest~") {
			choices = append(choices, candidate{"latest~" + strconv.Itoa(back), b.Name})
		}
	}
	for _, b := range slices.Backward(backups) {
		choices = append(choices, candidate{b.Name, clean(age(now.Sub(b.Time)) + ", " + statusOf(b))})
	}
	return choices
}

// pathChoices are the entries of the typed directory, as written. Names that a terminal or a shell could not handle are
// left out. After an error there are none, because an incomplete list would look complete.
func pathChoices(ctx context.Context, q question) []candidate {
	slash := strings.LastIndexByte(q.typed, '/') + 1
	dir, begun := q.typed[:slash], q.typed[slash:]
	place := cmp.Or(dir, "/")
	itself := path.Clean(strings.TrimLeft(place, "/"))
	pick := func(names []string) []string {
		return few(slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, begun) || !isClean(name) }), mostPaths)
	}
	var choices []candidate
	err := rsbtbackup.Ls(ctx, q.given["DEST"], q.given.backup(), place, rsbtbackup.LsOptions{Pick: pick}, func(e rsbtbackup.Entry) error {
		text := dir + path.Base(e.Path)
		switch {
		case e.Path == itself: // a file
			return nil
		case strings.HasPrefix(text, "-") && !q.dashes:
			text = "./" + text
		}
		if e.Kind == "directory" {
			text += "/"
		}
		choices = append(choices, candidate{text: text})
		return nil
	})
	if err != nil || !isClean(dir) {
		return nil
	}
	return choices
}

// few returns at most n of the sorted names. The last is among them, so that their common prefix, which a shell
// inserts, is that of all.
func few(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(names[:n-1], names[len(names)-1])
}
