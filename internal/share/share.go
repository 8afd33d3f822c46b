package share

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Options are those of Make.
type Options struct {
	Path   string // the directory to share; "": the source of the newest backup
	Name   string // of the share; "": derived from the last part of Path
	Browse bool   // share DEST itself: each backup is a directory
	Now    time.Time
}

// Share is what smb.conf needs, and which backups in DEST it shows.
type Share struct {
	Name     string   `json:"name"`
	Dest     string   `json:"dest"`
	Path     string   `json:"path"`               // that is shared
	Source   string   `json:"source,omitempty"`   // the source of the backups, by its path on this machine
	Stanza   []string `json:"stanza"`             // lines for smb.conf
	Backups  int      `json:"backups"`            // that are shown
	Unshown  []string `json:"unshown"`            // backups that Windows does not show, or with a wrong time
	Warnings []string `json:"warnings,omitempty"` // why users may not see them
}

// Make reads DEST and says how it is shared. It changes nothing.
func Make(ctx context.Context, dest string, o Options) (*Share, error) {
	l, err := rsbtbackup.List(ctx, dest)
	if err != nil {
		return nil, err
	}
	s := &Share{Dest: l.Dest, Backups: len(l.Backups), Unshown: []string{}}
	if o.Browse {
		s.Path = l.Dest
	} else if err := s.find(sourceOf(l.Backups), o.Path); err != nil {
		return nil, err
	}
	s.Name = cmp.Or(o.Name, nameFor(s.Path))
	for _, path := range []string{s.Dest, s.Path, s.Source} {
		if err := checkPath(path); err != nil {
			return nil, err
		}
	}
	if o.Browse {
		s.Stanza = browseStanza(*s)
	} else {
		s.Stanza = versionsStanza(*s, o.Now)
		s.Backups, s.Unshown = shown(l.Backups)
		s.Warnings = append(s.Warnings, unshownWarnings(s.Unshown)...)
	}
	closed, err := closedTo(l.Dest)
	if err != nil {
		return nil, err
	}
	s.Warnings = append(s.Warnings, closed...)
	return s, nil
}

// ErrPath is matched by the error of Make if no directory on this machine can have the backups as previous versions, or
// its path cannot be written in smb.conf.
var ErrPath = errors.New("nothing to share")

// find sets the directory that is shared, and the source of the backups. Samba compares paths without symlinks.
func (s *Share) find(source, path string) error {
	if source != "" && config.Host(source) == "" {
		s.Source = realOr(source)
	}
	switch {
	case path != "":
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPath, err)
		}
		if s.Path, err = filepath.Abs(real); err != nil {
			return fmt.Errorf("%w: %w", ErrPath, err)
		}
	case s.Source == "" && source == "":
		return fmt.Errorf("%w: no backup in %s has a record of its source", ErrPath, s.Dest)
	case s.Source == "":
		return fmt.Errorf("%w: the backups in %s are of %s, which is on another machine", ErrPath, s.Dest, source)
	default:
		s.Path = s.Source
	}
	info, err := os.Stat(s.Path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrPath, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is no directory", ErrPath, s.Path)
	}
	if !isBelow(s.Path, s.Source) {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the backups are of %s, and are shown as versions of %s: that is right only if it was moved there, or is a copy", source, s.Path))
		s.Source = s.Path
	}
	return nil
}

func sourceOf(backups []rsbtbackup.Snapshot) string {
	for _, b := range slices.Backward(backups) {
		if b.Record != nil && b.Record.Source != "" {
			return b.Record.SourceName()
		}
	}
	return ""
}

func realOr(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

// closedTo names the directories, from the root to DEST, that other users may not enter, and DEST if they may not list
// it: Samba reads with the rights of its user.
func closedTo(dest string) ([]string, error) {
	var warnings []string
	for dir, need := dest, os.FileMode(0o005); ; dir, need = filepath.Dir(dir), 0o001 {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("share: %w", err)
		}
		if info.Mode().Perm()&need != need {
			warnings = append(warnings, fmt.Sprintf("the mode of %s is %#o: Samba reads as the user who asks, and other users see no backup before: chmod o+%s %s",
				dir, info.Mode().Perm(), map[os.FileMode]string{0o005: "rx", 0o001: "x"}[need], dir))
		}
		if dir == filepath.Dir(dir) {
			return warnings, nil
		}
	}
}
