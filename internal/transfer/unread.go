package transfer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// maxUnread limits how many unreadable paths are remembered.
const maxUnread = 10_000

// Unread is what a sender could not list or open. rsync then deletes nothing, because it cannot distinguish deleted
// files from unseen ones.
type Unread struct {
	DeletionsSkipped bool     // rsync says that it skipped deletions
	Paths            []string // as the sender names them, absolute except for a daemon
	Unclear          bool     // it complained about something else too, or about too many files
}

var (
	skippedDeletions = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:rsync: )?(?:\[\w+\] )?IO error encountered -- skipping file deletion$`)
	})
	unreadPath = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^rsync: (?:\[sender\] )?(?:opendir|readdir|readlink_stat|send_files failed to open|read errors mapping|get_acl: sys_acl_get_file|get_xattr_names: llistxattr|get_xattr_data: lgetxattr)[ (]"(.*)"(?: \(in [^)]*\))?(?:,.*)?\)?(?: failed)?(?: \(.*\))?: `)
	})
	unreadACL = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^rsync: (?:\[sender\] )?get_acl: sys_acl_get_file\((.*), ACL_TYPE_[A-Z]+\): `)
	})
	// tornMessage comes after the second try. rsync has put zeros in the place of what could not be read.
	tornMessage = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^ERROR: (.*) failed verification -- update retained\.$`)
	})
	otherSide = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^rsync: \[(?:receiver|generator|Receiver|client|Client)\] `)
	})
)

// note reads one line of rsync's output.
func (u *Unread) note(line string) {
	m := unreadPath().FindStringSubmatch(line)
	if m == nil {
		m = unreadACL().FindStringSubmatch(line) // of a path relative to the source
	}
	switch {
	case skippedDeletions().MatchString(line):
		u.DeletionsSkipped = true
	case m != nil && len(u.Paths) < maxUnread:
		u.Paths = append(u.Paths, rsyncexec.Unescape(m[1]))
	case m != nil, strings.HasPrefix(line, "[sender] "):
		u.Unclear = true
	case strings.HasPrefix(line, "rsync: ") && !otherSide().MatchString(line):
		u.Unclear = true
	}
}

// Spares returns whether a path, below the source, must not be deleted: it is unreadable, or below or above something
// unreadable. root is the path of the source, "" if unknown: then it may be any directory above what is unreadable.
func (u Unread) Spares(root string) func(path string) bool {
	var places []string // where unreadable things may be, below the source
	for _, unread := range u.Paths {
		if root != "" {
			rel, inside := strings.CutPrefix(unread, strings.TrimSuffix(root, "/")+"/")
			if !strings.HasPrefix(unread, "/") {
				rel, inside = strings.TrimPrefix(unread, "./"), true
			}
			if !inside {
				return func(string) bool { return true }
			}
			places = append(places, rel)
			continue
		}
		for rel, more := strings.Trim(unread, "/"), true; more; _, rel, more = strings.Cut(rel, "/") {
			places = append(places, rel)
		}
	}
	slices.Sort(places)
	return func(path string) bool { return at.LeadsTo(path, places) || at.Covered(path, places) }
}

// named is how the sender names a path below the source: of what ends in it the shortest, as all begin with the source.
func (u Unread) named(rel string) (name string) {
	for _, path := range u.Paths {
		if strings.HasSuffix("/"+path, "/"+rel) && (name == "" || len(path) < len(name)) {
			name = path
		}
	}
	return name
}

// And combines what two runs could not read.
func (u Unread) And(other Unread) Unread {
	return Unread{
		DeletionsSkipped: u.DeletionsSkipped || other.DeletionsSkipped,
		Paths:            slices.Concat(u.Paths, other.Paths),
		Unclear:          u.Unclear || other.Unclear,
	}
}

// KeptText says what an incomplete backup has of what could not be read, if it is based on another one. rsync corrects
// what package pending has changed below a directory only if it can read that directory.
func (end End) KeptText(based bool) string {
	text := ""
	if len(end.Torn) > 0 {
		text = fmt.Sprintf("; %s could be read only in part, and this backup has zeros in the place of the rest", say.QuoteSome(end.Torn))
	}
	paths := slices.Clone(end.Unread.Paths)
	slices.Sort(paths)
	var torn []string
	for _, rel := range end.Torn {
		torn = append(torn, end.Unread.named(rel))
	}
	paths = slices.DeleteFunc(slices.Compact(paths), func(path string) bool { return slices.Contains(torn, path) })
	switch {
	case !based:
		return text
	case end.Kept:
		return "; files that are gone from the source are still in this backup, because they could not be distinguished from unreadable ones" + text
	case len(paths) == 0:
		return text
	}
	return fmt.Sprintf("; of what it could not read (%s) this backup has what the last one has, but of directories no hard links, set-id bits and devices", say.QuoteSome(paths)) + text
}
