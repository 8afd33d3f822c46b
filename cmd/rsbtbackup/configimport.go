// rsbtbackup config import FILE

package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/imports"
)

type configImportCommand struct {
	File string `arg:"" name:"FILE" help:"rsnapshot.conf, btrbk.conf, or a crontab."`
	From string `enum:"auto,rsnapshot,btrbk,crontab" default:"auto" placeholder:"PROGRAM" help:"The format of FILE: rsnapshot, btrbk or crontab. Auto (default) recognises it."`
}

// Help shows how it is used.
func (configImportCommand) Help() string {
	return `
Converts the jobs in FILE to a config and prints it, regardless of --json and --quiet. Settings without a counterpart
are listed in its first lines and on stderr. Nothing else is changed: the old backups stay where they are. Prepare each
new DEST with init; "config check --online" lists them.

EXAMPLE:

    rsbtbackup config import /etc/rsnapshot.conf >/etc/rsbtbackup.toml
    rsbtbackup config import /etc/btrbk/btrbk.conf >/etc/rsbtbackup.toml
    rsbtbackup config import /etc/crontab >/etc/rsbtbackup.toml`
}

func (c *configImportCommand) run(_ context.Context, u *ui, _ *flags) error {
	data, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	text := string(data)
	from := c.From
	if from == "auto" {
		from = looksLike(text)
	}
	var draft imports.Draft
	switch from {
	case "rsnapshot":
		draft = imports.Rsnapshot(text)
	case "btrbk":
		draft = imports.Btrbk(text)
	default:
		draft = imports.Crontab(text)
	}
	for _, n := range draft.Notes() {
		u.note(fmt.Sprintf("%s:%d: left out: %s", c.File, n.Line, n.Text))
	}
	if len(draft.Jobs) == 0 {
		return fmt.Errorf("import: %s has no backup that can be taken over", c.File)
	}
	u.write(u.stdout, draft.TOML(c.File))
	return nil
}

var (
	ofRsnapshot = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^(config_version|snapshot_root)\s`) })
	ofBtrbk     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^\s*(volume|subvolume)\s`) })
)

// looksLike recognises the program that a file belongs to.
func looksLike(text string) string {
	switch {
	case ofRsnapshot().MatchString(text):
		return "rsnapshot"
	case ofBtrbk().MatchString(text):
		return "btrbk"
	}
	return "crontab"
}
