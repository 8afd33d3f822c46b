package receive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"golang.org/x/sys/unix"
)

// sources are the subvolumes of a directory that a stream may build on. They are read when the first is needed.
type sources struct {
	dest  *os.File
	own   btrfs.UUID // of the stream itself
	known []candidate
	read  bool
	open  []source
}

// candidate is a subvolume as it was when it was listed.
type candidate struct {
	name string
	info btrfs.Info
}

// source is one that is open.
type source struct {
	name string
	uuid btrfs.UUID // that the stream asked for
	root *os.File
}

func (s *sources) close() error {
	var err error
	for _, source := range s.open {
		err = errors.Join(err, source.root.Close())
	}
	s.open = nil
	return err
}

// find opens the subvolume that the sender knows by uuid.
func (s *sources) find(uuid btrfs.UUID, transid uint64) (source, error) {
	for _, source := range s.open {
		if source.uuid == uuid {
			return source, nil
		}
	}
	if !s.read {
		var err error
		if s.known, err = listSubvolumes(s.dest); err != nil {
			return source{}, err
		}
		s.read = true
	}
	found, err := choose(s.known, uuid, transid)
	if err != nil {
		return source{}, err
	}
	root, err := btrfs.OpenDirAt(s.dest, found.name)
	if err != nil {
		return source{}, err
	}
	info, err := btrfs.SubvolumeInfo(root)
	if err == nil && (info.ID != found.info.ID || !info.ReadOnly) {
		err = fmt.Errorf("%w: %s was changed meanwhile", ErrNoSource, root.Name())
	}
	if err != nil {
		return source{}, errors.Join(err, root.Close())
	}
	opened := source{found.name, uuid, root}
	s.open = append(s.open, opened)
	return opened, nil
}

// listSubvolumes reads the subvolumes directly in dir. Entries that cannot be opened, such as mounts, are ignored.
func listSubvolumes(dir *os.File) ([]candidate, error) {
	entries, err := at.OpenBelow(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer entries.Close()
	list, err := entries.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var found []candidate
	for _, entry := range list {
		if !entry.IsDir() {
			continue
		}
		info, err := infoAt(dir, entry.Name())
		switch {
		case err == nil:
			found = append(found, candidate{entry.Name(), info})
		case errors.Is(err, btrfs.ErrNotSubvolume), errors.Is(err, btrfs.ErrNotBtrfs), errors.Is(err, btrfs.ErrMountPoint), errors.Is(err, fs.ErrNotExist):
		default:
			return nil, err
		}
	}
	return found, nil
}

func infoAt(dir *os.File, name string) (btrfs.Info, error) {
	root, err := btrfs.OpenDirAt(dir, name)
	if err != nil {
		return btrfs.Info{}, err
	}
	info, err := btrfs.SubvolumeInfo(root)
	return info, errors.Join(err, root.Close())
}

// choose selects the subvolume that was received from the one with that uuid, or that has it itself. Of several that
// were received from it, those of the same transaction are preferred, and of these the newest. A subvolume that was
// writable since then may have been changed: its received UUID stays, and an increment based on it would be wrong
// without an error.
func choose(known []candidate, uuid btrfs.UUID, transid uint64) (candidate, error) {
	var fit []candidate
	var reject string
	for _, c := range known {
		if c.info.ReceivedUUID != uuid && c.info.UUID != uuid {
			continue
		}
		switch {
		case !c.info.ReadOnly:
			reject = c.name + " can be written to"
		case c.changed(uuid):
			reject = c.name + " has been changed since"
		default:
			fit = append(fit, c)
		}
	}
	if len(fit) == 0 {
		if reject == "" {
			reject = "none has that UUID"
		}
		return candidate{}, fmt.Errorf("%w: subvolume %s: %s", ErrNoSource, uuid, reject)
	}
	return slices.MaxFunc(fit, func(a, b candidate) int {
		if a.exact(uuid, transid) != b.exact(uuid, transid) {
			if a.exact(uuid, transid) {
				return 1
			}
			return -1
		}
		return int(int64(a.info.ID) - int64(b.info.ID))
	}), nil
}

// Changed reports whether a read-only subvolume has been writable, and was changed, since it was received or made.
func Changed(info btrfs.Info) bool {
	if info.ReceivedUUID.IsZero() {
		return info.CTransID > info.OTransID
	}
	return info.CTransID > info.RTransID
}

// changed: a received subvolume, and every read-only snapshot of it, keeps the transaction in which it was received.
func (c candidate) changed(uuid btrfs.UUID) bool {
	if c.info.ReceivedUUID == uuid {
		return c.info.CTransID > c.info.RTransID
	}
	return c.info.CTransID > c.info.OTransID
}

func (c candidate) exact(uuid btrfs.UUID, transid uint64) bool {
	return c.info.ReceivedUUID == uuid && c.info.STransID == transid
}
