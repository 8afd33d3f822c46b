package main

import (
	"os"
	"strings"
	"testing"
)

// What people looked for in the README, and did not find.
func TestReadmeAnswers(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := strings.Join(strings.Fields(string(text)), " ")
	for question, answer := range map[string]string{
		"the oldest kernel that was tried":       "Linux 5.10 or newer (tested: 5.10,",
		"the oldest rsync":                       "rsync 3.1.3 or newer",
		"what is kept":                           "hard links, ACLs, extended attributes, owners by number and times to the nanosecond are kept",
		"the options of rsync that are used":     "`rsync -aHAXX --numeric-ids --modify-window=-1 --delete --delete-excluded --inplace --no-whole-file`",
		"encryption":                             "the btrfs on LUKS (`cryptsetup luksFormat",
		"Windows and macOS as sources":           "**Windows and macOS** can be sources if they have rsync and an ssh server",
		"how long the tests take":                "make test # about",
		"names with a colon":                     "rsync and scp read a relative path with a \":\" as host and path: write `./",
		"what go install takes without a tag":    "Until a version is tagged, `go install",
		"what version says without a tag":        "`rsbtbackup version` names a commit, or `(devel)`",
		"what -x leaves out":                     "mounts below it, including DEST, are left out, and a message names them",
		"how to retire a DEST":                   "(docs/RETIRING.md)",
		"init, before the first backup":          "# rsbtbackup init /backup/localhost/etc",
		"that it is no storage format":           "has no storage format of its own",
		"when another program is the better one": "Use **restic** or **borg** if",
	} {
		if !strings.Contains(readme, answer) {
			t.Errorf("%s: the README has no %q", question, answer)
		}
	}
	if strings.Index(readme, "rsbtbackup init ") > strings.Index(readme, "rsbtbackup backup ") {
		t.Error("the first backup comes before init")
	}
}
