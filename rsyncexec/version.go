package rsyncexec

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
)

// Version is a release of rsync.
type Version struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
	Patch int `json:"patch"`
}

// MinVersion is the oldest rsync whose options suffice: a negative --modify-window (compare nanoseconds) came with
// 3.1.3, --info=progress2 with 3.1.0 (both from rsync(1)). An older one does not refuse a negative window, it would
// compare wrongly, so the version is checked before the run.
func MinVersion() Version { return Version{Major: 3, Minor: 1, Patch: 3} }

// String is "3.5.0".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Less reports whether v was released before w.
func (v Version) Less(w Version) bool {
	if v.Major != w.Major {
		return v.Major < w.Major
	}
	if v.Minor != w.Minor {
		return v.Minor < w.Minor
	}
	return v.Patch < w.Patch
}

var versionLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^rsync +version v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?`)
})

// ParseVersion finds the release in what "rsync --version" prints. Suffixes such as "pre1" are dropped.
func ParseVersion(text string) (Version, bool) {
	m := versionLine().FindStringSubmatch(text)
	if m == nil {
		return Version{}, false
	}
	return Version{Major: smallInt(m[1]), Minor: smallInt(m[2]), Patch: smallInt(m[3])}, true
}

// smallInt reads at most six digits, none being zero.
func smallInt(digits string) int {
	if digits == "" {
		return 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}
