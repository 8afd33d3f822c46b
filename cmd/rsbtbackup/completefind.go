// The candidates for a word: what the grammar, DEST or a backup has.

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

// mostPaths is as many as anybody would look through.
const mostPaths = 1000

// candidates returns what the word under the cursor may become, as a whole.
func candidates(ctx context.Context, q question) []candidate {
	var all []candidate
	switch q.completer {
	case theGrammar:
		all = q.choices
	case backups:
		// Without a list there is nothing to offer.
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

// fromConfig asks the config that run would read.
func fromConfig(choices func(*config.Config) []candidate) []candidate {
	file, err := config.Find("")
	if err != nil {
		return nil
	}
	c, err := config.Load(file)
	if err != nil {
		return nil // config check says why
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
			continue // nothing has its values
		}
		choices = append(choices, candidate{group, plural(int64(len(jobs)), "job")})
	}
	return choices
}

// backupChoices: the newest first, and as many steps back as there are once somebody begins to count.
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

// pathChoices are the entries of the directory that is typed, written as it is. Names that a terminal or a shell would
// choke on are left out, and so is everything if there is an error: half a list would be taken for the whole.
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

// few returns at most n of the sorted names. The last is among them, so that they have no more in common than all of
// them: that is what a shell puts on the command line.
func few(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(names[:n-1], names[len(names)-1])
}
