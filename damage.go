// Damage: which backups a damaged block is in, and where to find an older
// version that is not damaged.

package rsbtbackup

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// DamageKind tells what is damaged.
type DamageKind string

const (
	// DataDamage: parts of a file.
	DataDamage DamageKind = "data"
	// MetadataDamage: the inode of a file, the list of where its data is (the
	// Ranges can not be found then), or a directory and all below it.
	MetadataDamage DamageKind = "metadata"
)

// Damage is a file or directory that can not be read to its end.
type Damage struct {
	Backup string     `json:"backup"`
	Path   string     `json:"path"` // in the backup; the root is ""
	Kind   DamageKind `json:"part"`
	// Ranges are the first 100 damaged parts of the data, Bytes their size in all.
	Ranges []DamagedRange `json:"ranges,omitempty"`
	Bytes  int64          `json:"bytes,omitempty"`
	Error  string         `json:"error"`
	// Shared lists the other files that hold the same damaged blocks, in this
	// and in other backups, oldest backup first, and other names of this file.
	// Without root only files under the same path are found. Of metadata nothing
	// is known.
	Shared []DamagedFile `json:"shared,omitempty"`
	// Elsewhere is how many files outside of the backups hold them too.
	Elsewhere int `json:"elsewhere,omitempty"`
	// Intact is the nearest older backup in which the path can be read whole;
	// empty if there is none.
	Intact string `json:"intact,omitempty"`
}

// DamagedFile is a file in a backup.
type DamagedFile struct {
	Backup string `json:"backup"`
	Path   string `json:"path"`
}

const (
	maxRanges = 100
	// maxProbes bounds how many blocks of one file the kernel is asked about.
	// Others may share what lies past that: the next backup is read whole.
	maxProbes = 256
)

// locate describes the damage of a file.
func (r *backupReader) locate(f *pooledFile) Damage {
	d := Damage{Backup: r.snap.Name, Path: f.path, Kind: DataDamage, Error: unix.EIO.Error()}
	for _, bad := range f.bad {
		d.Bytes += bad.Length
	}
	d.Ranges = f.bad[:min(len(f.bad), maxRanges)]
	addresses, err := damagedAddresses(f)
	if len(addresses) >= maxProbes {
		r.unshared.Store(true)
	}
	if btrfs.IsDamage(err) {
		r.metadata.Add(1)
		d.Kind, err = MetadataDamage, nil
	}
	if err == nil {
		err = r.share(&d, addresses)
	}
	if err != nil {
		r.unshared.Store(true)
		r.run.notice("what shares the damage of " + f.Name() + " is not known: " + err.Error())
	}
	d.Intact = r.intact(f.path, addresses)
	return d
}

// damagedAddresses returns where the damaged blocks are on the filesystem, those
// left out for which that is lost as well, and the error that told so.
func damagedAddresses(f *pooledFile) ([]uint64, error) {
	var addresses []uint64
	var lost error
	for _, bad := range f.bad {
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

func appendBlocks(addresses []uint64, e btrfs.Extent, bad DamagedRange) []uint64 {
	switch {
	case e.Inline || len(addresses) >= maxProbes:
		return addresses
	case e.Compressed:
		return append(addresses, e.Address)
	}
	from := max(e.Offset, uint64(bad.Offset))
	to := min(e.Offset+e.Length, uint64(bad.Offset+bad.Length))
	for ; from < to && len(addresses) < maxProbes; from += blockSize {
		addresses = append(addresses, e.Address+from-e.Offset)
	}
	return addresses
}

// share fills in who else holds the blocks: other names of the file as well.
func (r *backupReader) share(d *Damage, addresses []uint64) error {
	users, err := r.run.users(addresses)
	if errors.Is(err, unix.EPERM) {
		d.Shared = r.shareByPath(d.Path, addresses)
		return nil
	}
	if err != nil {
		return err
	}
	files := map[DamagedFile]bool{}
	for user := range users {
		i, ours := r.run.byID[user.Root]
		if !ours {
			d.Elsewhere++
			continue
		}
		b := r.run.state.backups[i]
		names, err := r.run.names(b, user.Inode)
		if err != nil {
			return err
		}
		for _, name := range names {
			files[DamagedFile{b.Name, name}] = true
		}
	}
	delete(files, DamagedFile{d.Backup, d.Path})
	d.Shared = r.sortFiles(files)
	return nil
}

// users are the inodes that hold one of the blocks, without their offsets.
func (v *verifying) users(addresses []uint64) (map[btrfs.InodeRef]bool, error) {
	users := map[btrfs.InodeRef]bool{}
	for _, address := range addresses {
		refs, err := btrfs.LogicalInodes(v.store.dir, address)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			users[btrfs.InodeRef{Root: ref.Root, Inode: ref.Inode}] = true
		}
	}
	for user := range users {
		_, err := btrfs.InodePath(v.store.dir, user.Root, user.Inode)
		if errors.Is(err, unix.ENOENT) { // of a subvolume that is deleted, and not cleaned up yet
			delete(users, user)
		} else if err != nil && !btrfs.IsDamage(err) { // of one that is damaged itself
			return nil, err
		}
	}
	return users, nil
}

// names are those of an inode in b, none if that was deleted meanwhile.
func (v *verifying) names(b Snapshot, inode uint64) ([]string, error) {
	root, err := btrfs.OpenDirAt(v.store.dir, b.Name)
	if err != nil {
		return nil, ignoreNotExist(err)
	}
	defer root.Close()
	return btrfs.InodeNames(root, inode)
}

func (r *backupReader) sortFiles(files map[DamagedFile]bool) []DamagedFile {
	order := map[string]int{}
	for i, b := range r.run.state.backups {
		order[b.Name] = i
	}
	var sorted []DamagedFile
	for f := range files {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b DamagedFile) int {
		return cmp.Or(cmp.Compare(order[a.Backup], order[b.Backup]), cmp.Compare(a.Path, b.Path))
	})
	return sorted
}

// shareByPath looks, for who is not root, at the same path in every other
// backup.
func (r *backupReader) shareByPath(path string, addresses []uint64) []DamagedFile {
	var shared []DamagedFile
	for _, b := range r.run.state.backups {
		if b.ID == r.snap.ID {
			continue
		}
		if r.run.holds(b, path, addresses) {
			shared = append(shared, DamagedFile{b.Name, path})
		}
	}
	return shared
}

// holds tells whether the file at path in b has one of the blocks. Who may not
// look does not know, and says no.
func (v *verifying) holds(b Snapshot, path string, addresses []uint64) bool {
	root, err := btrfs.OpenDirAt(v.store.dir, b.Name)
	if err != nil {
		return false
	}
	defer root.Close()
	if kind, err := kindBelow(root, path); err != nil || kind != unix.S_IFREG {
		return false
	}
	f, st, err := openRegular(root, path)
	if err != nil {
		return false
	}
	defer f.Close()
	extents, err := btrfs.Extents(f, 0, uint64(roundUp(st.Size)))
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

// intact returns the nearest older backup in which path can be read whole. One
// that has a damaged block in it need not be read for that.
func (r *backupReader) intact(path string, addresses []uint64) string {
	for i := r.run.byID[r.snap.ID] - 1; i >= 0; i-- {
		if r.run.ctx.Err() != nil {
			return ""
		}
		b := r.run.state.backups[i]
		if !r.run.holds(b, path, addresses) && r.run.readable(b, path) {
			return b.Name
		}
	}
	return ""
}

// readable reads all that path is in b.
func (v *verifying) readable(b Snapshot, path string) bool {
	root, err := btrfs.OpenDirAt(v.store.dir, b.Name)
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
		f, st, err := openRegular(root, path)
		return err == nil && readWhole(v.ctx, f, st.Size)
	case kind == unix.S_IFDIR:
		dir, err := openBelow(root, path, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return false
		}
		defer dir.Close()
		_, err = readNames(dir)
		return err == nil
	}
	return true
}

// kindBelow looks before anything is opened: opening a device has effects.
func kindBelow(root *os.File, path string) (uint32, error) {
	at, err := openBelow(root, path, unix.O_PATH)
	if err != nil {
		return 0, err
	}
	defer at.Close()
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstat(int(at.Fd()), &st) })
	return st.Mode & unix.S_IFMT, atError("stat", root, path, err)
}

// readWhole reads f as Verify does, closes it, and tells whether all was well.
func readWhole(ctx context.Context, f *os.File, size int64) bool {
	good := false
	pool, err := newFilePool(ctx, 1, func(int64) {}, func(f *pooledFile) { good = f.err == nil && len(f.bad) == 0 })
	if err != nil {
		_ = f.Close() // opened for reading
		return false
	}
	file := pool.hold(f, "", size)
	pool.add(file, 0, size)
	pool.release(file)
	pool.wait()
	return good
}

// countDeviceErrors sums every error the devices have counted; 0 where the
// kernel does not tell.
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
