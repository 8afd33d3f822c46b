package share

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

// nameFormat is the format of a backup's name, in Samba's notation. A backup that was begun in the same minute as
// another has seconds in its name: shadow_copy2 supports only one format and does not distinguish the two.
const (
	nameFormat  = "2006-01-02-15:04"
	sambaFormat = "%Y-%m-%d-%H:%M"
)

// versionsStanza makes the backups the previous versions of a directory.
func versionsStanza(s Share, now time.Time) []string {
	return []string{
		"[" + s.Name + "]",
		"    path = " + s.Path,
		"    # In a share that is there already only what follows is new: the backups in " + s.Dest + " as previous versions.",
		"    # If [global] has vfs objects, repeat them here, before shadow_copy2.",
		"    vfs objects = shadow_copy2",
		"    shadow:snapdir = " + s.Dest,
		"    shadow:basedir = " + s.Source,
		"    shadow:format = " + sambaFormat,
		"    shadow:sort = desc",
		"    # The names are local time: smbd must run in the time zone of rsbtbackup, which is " + now.Format("MST (-07:00)") + " now.",
		"    # The hour that the end of summer time repeats has one version for both.",
		"    shadow:localtime = yes",
	}
}

// browseStanza shares DEST itself. Windows accepts no colon in a name; U+A789 looks like one.
func browseStanza(s Share) []string {
	return []string{
		"[" + s.Name + "]",
		"    path = " + s.Path,
		"    read only = yes",
		"    # Names with a colon are no names for Windows: it is shown another character that looks like one.",
		"    # If [global] has vfs objects, repeat them here, before catia.",
		"    vfs objects = catia",
		"    catia:mappings = 0x3a:0xa789",
	}
}

// shown counts the backups that are shown with their time, and names the others: those with seconds in their names, and
// those that were named in another time zone.
func shown(backups []rsbtbackup.Snapshot) (count int, others []string) {
	others = []string{}
	for _, b := range backups {
		if b.Name == b.Time.Local().Format(nameFormat) {
			count++
		} else {
			others = append(others, b.Name)
		}
	}
	return count, others
}

func unshownWarnings(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Windows does not show %d of the backups, such as %s, or at a wrong time: their names have seconds, or are of another time zone",
		len(names), names[len(names)-1])}
}

var takenNames = []string{"global", "homes", "printers", "print$", "ipc$"}

// validName is compiled when it is needed: a global would cost time at each start of the command.
func validName(name string) bool {
	return regexp.MustCompile(`^[\p{L}\p{N}_]([\p{L}\p{N}_. -]{0,78}[\p{L}\p{N}_.-])?$`).MatchString(name)
}

// CheckName says what is wrong with the name of a share.
func CheckName(name string) error {
	for _, taken := range takenNames {
		if strings.EqualFold(name, taken) {
			return fmt.Errorf("%q has a special meaning in smb.conf", name)
		}
	}
	if !validName(name) {
		return fmt.Errorf("%q is no name for a share: it has letters, digits, and after the first blanks and . _ -, 80 at most", name)
	}
	return nil
}

// nameFor derives a name from the last part of a path.
func nameFor(path string) string {
	name := strings.Trim(regexp.MustCompile(`[^\p{L}\p{N}_.-]+`).ReplaceAllString(filepath.Base(path), "-"), "-.")
	if CheckName(name) != nil {
		return "backups"
	}
	return name
}

// checkPath refuses paths that smb.conf cannot express: it replaces %, treats \ at the end of a line in another way,
// and has no escapes.
func checkPath(path string) error {
	bad := func(r rune) bool { return r < ' ' || strings.ContainsRune("%\\\"\x7f\uFFFD", r) }
	if strings.ContainsFunc(path, bad) || path != strings.TrimSpace(path) {
		return fmt.Errorf("%w: %q cannot be written in smb.conf, as it has %%, \\, a quote, a control character, or a blank at its end", ErrPath, path)
	}
	return nil
}

func isBelow(path, dir string) bool {
	return dir != "" && (path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/"))
}
