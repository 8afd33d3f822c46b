// rsbtbackup __packaged DIR: the files of a package, except the command itself.

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/units"
)

// packagedCommand is in no help: scripts/package.sh calls it. Its files are made from the grammar, the keys of the
// config and the units, so no copy can be out of date.
type packagedCommand struct {
	Dir string `arg:"" name:"DIR"`
}

func (c *packagedCommand) run(_ context.Context, _ *ui, _ *flags) error {
	date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"), time.Now())
	if err != nil {
		return err
	}
	root, err := wholeGrammar()
	if err != nil {
		return err
	}
	for path, text := range packaged(root, date) {
		path = filepath.Join(c.Dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// packaged are the files, by their destination.
func packaged(root *kong.Node, date time.Time) map[string]string {
	return map[string]string{
		"usr/share/man/man8/rsbtbackup.8":                     commandPage(root, date),
		"usr/share/man/man5/rsbtbackup.toml.5":                configPage(date),
		"usr/share/bash-completion/completions/rsbtbackup":    completionScripts["bash"],
		"usr/share/zsh/vendor-completions/_rsbtbackup":        completionScripts["zsh"],
		"usr/share/zsh/site-functions/_rsbtbackup":            completionScripts["zsh"],
		"usr/share/fish/vendor_completions.d/rsbtbackup.fish": completionScripts["fish"],
		"usr/share/doc/rsbtbackup/examples/rsbtbackup.toml":   config.Example(),
		"usr/lib/systemd/system/" + units.MailTemplate:        units.Mail(false),
		"usr/lib/systemd/user/" + units.MailTemplate:          units.Mail(true),
	}
}

// sourceDate is the date of the sources, so that the same sources give the same files; see
// https://reproducible-builds.org/specs/source-date-epoch.
func sourceDate(epoch string, now time.Time) (time.Time, error) {
	if epoch == "" {
		return now, nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return now, fmt.Errorf("SOURCE_DATE_EPOCH=%q: want seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0), nil
}
