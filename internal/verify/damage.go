// Damage: which backups have a damaged block, and which older one has an intact version.

package verify

import (
	"cmp"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/readback"
)

const (
	maxRanges = 100
	// maxProbes limits how many blocks of one file the kernel is asked about. Other files may share further blocks, so
	// the next backup is then read whole.
	maxProbes = 256
)

// locate describes the damage of a file.
func (r *backupReader) locate(f *readback.File) facts.Damage {
	d := facts.Damage{Backup: r.snap.Name, Path: f.Path, Kind: facts.DataDamage, Error: unix.EIO.Error()}
	for _, bad := range f.Bad {
		d.Bytes += bad.Length
	}
	d.Ranges = f.Bad[:min(len(f.Bad), maxRanges)]
	addresses, err := damagedAddresses(f)
	if len(addresses) >= maxProbes {
		r.unshared.Store(true)
	}
	if btrfs.IsDamage(err) {
		r.metadata.Add(1)
		d.Kind, err = facts.MetadataDamage, nil
	}
	if err == nil {
		err = r.share(&d, addresses)
	}
	if err != nil {
		r.unshared.Store(true)
		r.run.notice("which files share the damage of " + f.Name() + " is not known: " + err.Error())
	}
	d.Intact = r.intact(f.Path, addresses)
	return d
}

// damagedAddresses returns the addresses of the damaged blocks in the filesystem. Blocks whose address is lost too are
// left out, and the error says why.
func damagedAddresses(f *readback.File) ([]uint64, error) {
	var addresses []uint64
	var lost error
	for _, bad := range f.Bad {
		extents, err := btrfs.Extents(f.File, uint64(bad.Offset), uint64(bad.Length))
		if btrfs.IsDamage(err) {
			lost = err
		} else if err != nil {
			return nil, err
		}
		for _, e := range extents {
			addresses = appendBlocks(addresses, e, bad)
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses), lost
}

func appendBlocks(addresses []uint64, e btrfs.Extent, bad facts.DamagedRange) []uint64 {
	switch {
	case e.Inline || len(addresses) >= maxProbes:
		return addresses
	case e.Compressed:
		return append(addresses, e.Address)
	}
	from := max(e.Offset, uint64(bad.Offset))
	to := min(e.Offset+e.Length, uint64(bad.Offset+bad.Length))
	for ; from < to && len(addresses) < maxProbes; from += readback.BlockSize {
		addresses = append(addresses, e.Address+from-e.Offset)
	}
	return addresses
}

// share fills in which other files have the blocks, including other names of the file.
func (r *backupReader) share(d *facts.Damage, addresses []uint64) error {
	users, err := r.run.users(addresses)
	if errors.Is(err, unix.EPERM) {
		d.Shared = r.shareByPath(d.Path, addresses)
		return nil
	}
	if err != nil {
		return err
	}
	files := map[facts.DamagedFile]bool{}
	for user := range users {
		i, ours := r.run.byID[user.Root]
		if !ours {
			d.Elsewhere++
			continue
		}
		b := r.run.state.Backups[i]
		names, err := r.run.names(b, user.Inode)
		if err != nil {
			return err
		}
		for _, name := range names {
			files[facts.DamagedFile{Backup: b.Name, Path: name}] = true
		}
	}
	delete(files, facts.DamagedFile{Backup: d.Backup, Path: d.Path})
	d.Shared = r.sortFiles(files)
	return nil
}

// users returns the inodes that have one of the blocks, without offsets.
func (v *verifying) users(addresses []uint64) (map[btrfs.InodeRef]bool, error) {
	users := map[btrfs.InodeRef]bool{}
	for _, address := range addresses {
		refs, err := btrfs.LogicalInodes(v.store.Dir, address)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			users[btrfs.InodeRef{Root: ref.Root, Inode: ref.Inode}] = true
		}
	}
	for user := range users {
		_, err := btrfs.InodePath(v.store.Dir, user.Root, user.Inode)
		if errors.Is(err, unix.ENOENT) { // of a deleted subvolume that the cleaner has not removed yet
			delete(users, user)
		} else if err != nil && !btrfs.IsDamage(err) { // of one that is damaged itself
			return nil, err
		}
	}
	return users, nil
}

// names returns the names of an inode in b; none if b was deleted meanwhile.
func (v *verifying) names(b facts.Snapshot, inode uint64) ([]string, error) {
	root, err := btrfs.OpenDirAt(v.store.Dir, b.Name)
	if err != nil {
		return nil, at.IgnoreNotExist(err)
	}
	defer root.Close()
	return btrfs.InodeNames(root, inode)
}

func (r *backupReader) sortFiles(files map[facts.DamagedFile]bool) []facts.DamagedFile {
	order := map[string]int{}
	for i, b := range r.run.state.Backups {
		order[b.Name] = i
	}
	var sorted []facts.DamagedFile
	for f := range files {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b facts.DamagedFile) int {
		return cmp.Or(cmp.Compare(order[a.Backup], order[b.Backup]), cmp.Compare(a.Path, b.Path))
	})
	return sorted
}

// shareByPath, for an ordinary user, looks at the same path in every other backup.
func (r *backupReader) shareByPath(path string, addresses []uint64) []facts.DamagedFile {
	var shared []facts.DamagedFile
	for _, b := range r.run.state.Backups {
		if b.ID == r.snap.ID {
			continue
		}
		if r.run.holds(b, path, addresses) {
			shared = append(shared, facts.DamagedFile{Backup: b.Name, Path: path})
		}
	}
	return shared
}

// holds reports whether the file at path in b has one of the blocks. Without the rights to find out it is false.
func (v *verifying) holds(b facts.Snapshot, path string, addresses []uint64) bool {
	root, err := btrfs.OpenDirAt(v.store.Dir, b.Name)
	if err != nil {
		return false
	}
	defer root.Close()
	if kind, err := kindBelow(root, path); err != nil || kind != unix.S_IFREG {
		return false
	}
	f, st, err := at.OpenRegular(root, path)
	if err != nil {
		return false
	}
	defer f.Close()
	extents, err := btrfs.Extents(f, 0, uint64(readback.RoundUp(st.Size)))
	if err != nil {
		return false
	}
	for _, e := range extents {
		if e.Inline {
			continue
		}
		i, same := slices.BinarySearch(addresses, e.Address)
		if same || !e.Compressed && i < len(addresses) && addresses[i] < e.Address+e.Length {
			return true
		}
	}
	return false
}

// intact returns the nearest older backup in which path can be read completely. A version that has one of the damaged
// blocks is not read.
func (r *backupReader) intact(path string, addresses []uint64) string {
	for i := r.run.byID[r.snap.ID] - 1; i >= 0; i-- {
		if r.run.ctx.Err() != nil {
			return ""
		}
		b := r.run.state.Backups[i]
		if !r.run.holds(b, path, addresses) && r.run.readable(b, path) {
			return b.Name
		}
	}
	return ""
}

// readable reports whether all of path in b can be read.
func (v *verifying) readable(b facts.Snapshot, path string) bool {
	root, err := btrfs.OpenDirAt(v.store.Dir, b.Name)
	if err != nil {
		return false
	}
	defer root.Close()
	if path == "" {
		path = "."
	}
	kind, err := kindBelow(root, path)
	switch {
	case err != nil:
		return false
	case kind == unix.S_IFREG:
		f, st, err := at.OpenRegular(root, path)
		return err == nil && readback.ReadWhole(v.ctx, f, st.Size)
	case kind == unix.S_IFDIR:
		dir, err := at.OpenBelow(root, path, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return false
		}
		defer dir.Close()
		_, err = at.Names(dir)
		return err == nil
	}
	return true
}

// kindBelow calls stat before path is opened: opening a device has side effects.
func kindBelow(root *os.File, path string) (uint32, error) {
	pos, err := at.OpenBelow(root, path, unix.O_PATH)
	if err != nil {
		return 0, err
	}
	defer pos.Close()
	var st unix.Stat_t
	err = at.Retry(func() error { return unix.Fstat(int(pos.Fd()), &st) })
	return st.Mode & unix.S_IFMT, at.Error("stat", root, path, err)
}

// countDeviceErrors is the sum of all errors that the devices have counted; 0 if unknown.
func countDeviceErrors(dir *os.File) uint64 {
	devices, err := btrfs.DeviceStats(dir)
	if err != nil {
		return 0
	}
	var sum uint64
	for _, d := range devices {
		sum += d.WriteErrors + d.ReadErrors + d.FlushErrors + d.CorruptionErrors + d.GenerationErrors
	}
	return sum
}
