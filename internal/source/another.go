// Another source: whether SRC is what the newest backup was made from. Pure.

package source

import (
	"strings"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// lastIdentity returns the filesystem that the newest backup was made from, if it had the same local path.
func (s *Source) lastIdentity(newest *facts.Snapshot) *facts.SourceIdentity {
	if newest == nil || newest.Record == nil || s.Identity == nil || newest.Record.SourceName() != s.Shown {
		return nil
	}
	return newest.Record.SourceFS
}

// IsChanged reports whether the newest backup was made from another source: another path, another filesystem or
// directory at the same path, or another host. Equal sizes and times then mean little (reproducible builds give every
// file the same), so contents must be compared.
func (s *Source) IsChanged(newest *facts.Snapshot) bool {
	was := s.lastIdentity(newest)
	switch {
	case s.HasOtherName(newest):
		return true
	case was == nil:
		return false
	case !mounts.SameDir(*was, *s.Identity), len(s.Changed) > 0, s.IsRemounted(newest):
		return true
	}
	// Host names change; they count only if the filesystem has no id.
	return was.UUID == "" && was.FSID == "" && newest.Record.Host != s.Host
}

// OtherPlace says what is at the path of the newest backup's source, if that is another directory: perhaps of a new
// disk with the same files, perhaps the one below an unmounted disk.
func (s *Source) OtherPlace(newest *facts.Snapshot) string {
	was := s.lastIdentity(newest)
	switch {
	case was == nil || mounts.SameDir(*was, *s.Identity):
		return ""
	case mounts.SameFS(*was, *s.Identity):
		return "is another directory"
	}
	return "is on another filesystem"
}

// HasOtherName reports whether the newest backup was made from a SRC of another name.
func (s *Source) HasOtherName(newest *facts.Snapshot) bool {
	return newest != nil && newest.Record != nil && newest.Record.Source != "" && unslashed(newest.Record.SourceName()) != unslashed(s.Shown)
}

// unslashed is a remote source without the slashes at its end. "host:" is not "host:/".
func unslashed(name string) string {
	if short := strings.TrimRight(name, "/"); short != "" && !strings.HasSuffix(short, ":") {
		return short
	}
	return name
}

// IsRemounted reports that nothing tells whether the filesystem is that of the newest backup, only that it was mounted
// again since.
func (s *Source) IsRemounted(newest *facts.Snapshot) bool {
	was := s.lastIdentity(newest)
	return was != nil && was.Instance != "" && s.Identity.Instance != "" && was.Instance != s.Identity.Instance
}
