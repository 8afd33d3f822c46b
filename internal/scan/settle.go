package scan

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// settling finds the directories that changed after they were walked.
type settling struct {
	root   *os.File
	reader *reader
	only   map[string]bool // nil: all
	// changed are the directories that changed. A rename sets a new ctime on a directory and on its parent, so a
	// directory whose parent changed, too, may have been elsewhere meanwhile.
	changed   map[string]bool
	unsettled []catalog.Unsettled
}

func (s *settling) top(h catalog.Header) error {
	s.changed = map[string]bool{}
	fd := int(s.root.Fd())
	now, _, err := s.reader.stat(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return pathError("stat", s.root.Name(), err)
	}
	up, _, err := s.reader.stat(fd, "..", 0)
	if err != nil {
		return pathError("stat", s.root.Name()+"/..", err)
	}
	if moved := !settled(h.Parent, up); !settled(h.Root, now) {
		return s.add(".", moved)
	}
	return nil
}

// below examines the directories in d.
func (s *settling) below(d catalog.Dir) error {
	if d.Unread {
		return s.add(d.Path, true)
	}
	if s.only != nil && !s.only[d.Path] {
		return nil
	}
	var names []catalog.Entry
	for _, e := range d.Entries {
		if e.IsOpen() {
			names = append(names, e)
		}
	}
	if len(names) == 0 {
		return nil
	}
	fd, err := openBeneath(s.root, d.Path, unix.O_PATH)
	if isGone(err) {
		return s.addAll(d.Path, names)
	}
	if err != nil {
		return pathError("open", s.reader.shown(d.Path), err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	for _, e := range names {
		now, _, err := s.reader.stat(fd, e.Name, 0)
		if err != nil && !isGone(err) {
			return pathError("stat", s.reader.shown(catalog.Join(d.Path, e.Name)), err)
		}
		switch {
		case err != nil || e.Inode != now.Inode || e.Birth != now.Birth || e.Kind() != now.Kind():
			err = s.add(catalog.Join(d.Path, e.Name), true)
		case !settled(e, now):
			err = s.add(catalog.Join(d.Path, e.Name), s.changed[d.Path])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func settled(walked, now catalog.Entry) bool {
	return walked.Inode == now.Inode && walked.Birth == now.Birth && walked.Change == now.Change && walked.Modify == now.Modify
}

func (s *settling) addAll(dir string, names []catalog.Entry) error {
	for _, e := range names {
		if err := s.add(catalog.Join(dir, e.Name), true); err != nil {
			return err
		}
	}
	return nil
}

func (s *settling) add(path string, deep bool) error {
	if len(s.unsettled) >= catalog.MaxUnsettled {
		return fmt.Errorf("%w: more than %d directories changed while it was backed up", ErrUnfit, catalog.MaxUnsettled)
	}
	s.changed[path] = true
	s.unsettled = append(s.unsettled, catalog.Unsettled{Path: path, Deep: deep})
	return nil
}
