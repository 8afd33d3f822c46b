// The pages for man(1): rsbtbackup(8) from the grammar, rsbtbackup.toml(5) from the keys of the config.

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/manual"
)

// commandPage is rsbtbackup(8). The root help has the general parts: its text, an example and the exit codes.
func commandPage(root *kong.Node, date time.Time) string {
	p := manual.New("rsbtbackup", 8, "incremental backups with rsync into btrfs snapshots", programVersion(), date)
	about, rest, _ := strings.Cut(grammar{}.Help(), "EXAMPLE:")
	example, codes, _ := strings.Cut(rest, "EXIT CODES:")
	p.Heading("Synopsis")
	p.Line("rsbtbackup COMMAND [ARGUMENT...] [FLAG...]")
	p.Heading("Description")
	p.Help(about)
	p.Heading("Commands")
	for _, node := range root.Leaves(true) {
		writeCommand(p, node)
	}
	p.Heading("Flags of every command")
	for _, flag := range root.Flags {
		writeFlag(p, flag)
	}
	p.Heading("Exit status")
	p.Help(codes)
	writeSurroundings(p)
	p.Heading("Examples")
	p.Help(example)
	p.Heading("See also")
	p.Paragraph("rsbtbackup.toml(5), rsync(1), btrfs(5), systemd.time(7)")
	return p.String()
}

func writeCommand(p *manual.Page, node *kong.Node) {
	words := []string{"rsbtbackup", verbPath(node)}
	for _, argument := range node.Positional {
		word := strings.NewReplacer("<", "", ">", "", " ...", "...").Replace(argument.Summary())
		if argument.Name == "RSYNC-ARG" {
			word = "[-- RSYNC-ARG...]" // kong has no notation for it
		}
		words = append(words, word)
	}
	p.Subheading(strings.Join(words, " "))
	p.Paragraph(node.Help)
	if len(node.Aliases) > 0 {
		p.Paragraph("It is called " + strings.Join(node.Aliases, " and ") + " as well.")
	}
	for _, argument := range node.Positional {
		if argument.Help != "" {
			p.Item(argument.Name, argument.Help)
		}
	}
	for _, flag := range node.Flags {
		if !flag.Hidden {
			writeFlag(p, flag)
		}
	}
	p.Help(node.Detail)
}

// writeFlag writes kong's text about the value, without the default, which is in the help text.
func writeFlag(p *manual.Page, flag *kong.Flag) {
	term := "--" + flag.Name
	if flag.Tag.Negatable != "" {
		term = "--[no-]" + flag.Name
	}
	if takesValue(flag) {
		term += "=" + flag.PlaceHolder
		if flag.PlaceHolder == "" {
			term += strings.ToUpper(flag.Name)
		}
	}
	if flag.Short != 0 {
		term = "-" + string(flag.Short) + ", " + term
	}
	p.Item(term, flag.Help)
}

// writeSurroundings: files and variables, which no help describes together.
func writeSurroundings(p *manual.Page) {
	p.Heading("Files")
	p.Item("/etc/rsbtbackup.toml", "The jobs, for those commands that know them; see rsbtbackup.toml(5).")
	p.Item("DEST", "The backups of one source: read-only subvolumes, named after the minute they were begun in. Beside them the link cur to the newest complete one; while a backup is made, or one is to be resumed, the subvolume pending; and, for root only, the directory .log with the log and a record of each backup.")
	p.Item("/var/lib/rsbtbackup", "What is remembered of jobs between runs; it may be lost. Of ordinary users it is below $XDG_STATE_HOME or ~/.local/state.")
	p.Heading("Environment")
	p.Item("XDG_CONFIG_HOME", "Where rsbtbackup.toml is looked for before /etc; ~/.config if it is not set.")
	p.Item("STATE_DIRECTORY, CREDENTIALS_DIRECTORY", "What systemd sets for a service: where states are kept, and secrets of the config that are credential:NAME.")
	p.Item("NO_COLOR", "No colours in the log, unless --color=always.")
}

// configPage is rsbtbackup.toml(5).
func configPage(date time.Time) string {
	p := manual.New("rsbtbackup.toml", 5, "which jobs rsbtbackup runs, and what each of them does", programVersion(), date)
	p.Heading("Description")
	p.Paragraph("A file of TOML with a table [job.NAME] for each job. It is the one that --config names, or $XDG_CONFIG_HOME/rsbtbackup.toml (~/.config if that is not set), or /etc/rsbtbackup.toml, the first that is there.")
	p.Paragraph("Keys in [defaults] apply to all jobs, in [group.NAME] to those that name the group, in [job.NAME] for that job. The nearest value holds; those of lists that add up are marked. A key with a dot may stand as verify.every in [defaults], or as every in [defaults.verify].")
	p.Paragraph("With include = [\"conf.d/*.toml\"] at the top the jobs, groups and defaults of further files are read, relative to this one.")
	p.Paragraph("An unknown key, or a value of another type, is an error. \"rsbtbackup config check\" names the file and the line, \"rsbtbackup config show\" tells what holds for each job and which line says so. A file that somebody else can write is refused if it says what programs to run.")
	p.Heading("Example")
	p.Verbatim(strings.Split(strings.TrimSuffix(config.ExampleJobs, "\n"), "\n"))
	p.Heading("Keys of a job")
	p.Paragraph("They stand in [job.NAME], and but for those marked also in [group.NAME] and [defaults].")
	writeKeys(p, config.Keys())
	p.Heading("Keys of all jobs together")
	writeKeys(p, config.GlobalKeys())
	p.Heading("Secrets")
	p.Paragraph("The value of a key that is a secret stands in the file as it is, or elsewhere: file:/path is the content of a file, credential:NAME of a systemd credential (see LoadCredential= in systemd.exec(5)), env:NAME of a variable. It is never shown.")
	p.Heading("See also")
	p.Paragraph("rsbtbackup(8), systemd.time(7)")
	return p.String()
}

func writeKeys(p *manual.Page, keys []config.Key) {
	for _, k := range keys {
		texts := []string{k.Doc}
		if len(k.Enum) > 0 {
			texts[0] += " One of: " + strings.Join(k.Enum, ", ") + "."
		}
		var marks []string
		for _, mark := range []struct {
			is   bool
			text string
		}{{k.JobOnly, "only in [job.NAME]"}, {k.Adds, "values add up"}, {k.Kind == config.Hidden, "a secret"}} {
			if mark.is {
				marks = append(marks, mark.text)
			}
		}
		if len(marks) > 0 {
			texts[0] += fmt.Sprintf(" (%s)", strings.Join(marks, ", "))
		}
		p.Item(k.Name, append(texts, "Example: "+k.Example)...)
	}
}
