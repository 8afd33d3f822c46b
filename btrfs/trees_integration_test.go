//go:build integration

package btrfs_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

const (
	inodeItemKey  = 1
	dirIndexKey   = 96
	extentDataKey = 108
)

func TestTreeSearch(t *testing.T) {
	w := newWorld(t)
	const files = 5000 // several pages of the search buffer
	for i := range files {
		must(t, os.WriteFile(fmt.Sprintf("%s/f%d", w.sub.Name(), i), nil, 0o644))
	}
	must(t, btrfs.Sync(w.root))
	key := btrfs.AllItems(0)
	key.MinObjectID, key.MaxObjectID = 256, 256
	key.MinType, key.MaxType = dirIndexKey, dirIndexKey
	seen := map[uint64]bool{}
	for item, err := range btrfs.TreeSearch(w.sub, key) {
		must(t, err)
		if item.Type != dirIndexKey || item.ObjectID != 256 || item.TransID == 0 || seen[item.Offset] {
			t.Fatalf("item %d %d %d", item.ObjectID, item.Type, item.Offset)
		}
		seen[item.Offset] = true
		if want := fmt.Sprintf("f%d", len(seen)-1); !bytes.HasSuffix(item.Data, []byte(want)) {
			t.Fatalf("entry %d is %q, want %s", len(seen), item.Data, want)
		}
	}
	if len(seen) != files {
		t.Errorf("%d entries, want %d", len(seen), files)
	}

	byID := btrfs.AllItems(value(btrfs.SubvolumeInfo(w.sub))(t).ID)
	byID.MinType, byID.MaxType = inodeItemKey, inodeItemKey
	inodes := 0
	for _, err := range btrfs.TreeSearch(w.root, byID) {
		must(t, err)
		inodes++
	}
	if inodes != files+1 {
		t.Errorf("%d inodes, want %d", inodes, files+1)
	}
	for range btrfs.TreeSearch(w.sub, key) {
		break // a caller may stop early
	}

	search := func(f *os.File, tree uint64) error {
		for _, err := range btrfs.TreeSearch(f, btrfs.AllItems(tree)) {
			return err
		}
		return nil
	}
	_, nobodyErr := asNobody(t, "TreeSearch", "", w.mine)
	checkFailures(t, "BTRFS_IOC_TREE_SEARCH_V2", append([]failure{
		notBtrfs(search(w.ext4, 0)),
		{"no such tree", search(w.root, 1<<40), []error{unix.ENOENT}, nil},
		{"nobody", nobodyErr, []error{unix.EPERM, os.ErrPermission}, nil},
	}, opened(search(w.path, 0), search(w.closed, 0))...))
}

// TestAddedBytes follows one subvolume through the ways to add data, and not to.
func TestAddedBytes(t *testing.T) {
	const mib = 1 << 20
	dir := loopfs.New(t, "512M")
	root := openDir(t, dir)
	must(t, btrfs.CreateSubvolume(root, "work"))
	work := openDir(t, dir+"/work")
	path := func(name string) string { return dir + "/work/" + name }
	must(t, os.WriteFile(path("old"), random(t, 8*mib), 0o644))
	must(t, os.WriteFile(path("oldsmall"), []byte("old and small"), 0o644))

	snapshots := 0
	snapshot := func() *os.File {
		t.Helper()
		name := fmt.Sprint("snap", snapshots)
		snapshots++
		must(t, btrfs.CreateSnapshot(root, name, work, btrfs.SnapshotOptions{ReadOnly: true}))
		return openDir(t, dir+"/"+name)
	}
	for _, step := range []struct {
		name   string
		change func()
		want   uint64
	}{
		{"nothing", func() {}, 0},
		{"a new file", func() { must(t, os.WriteFile(path("new"), random(t, 3*mib), 0o644)) }, 3 * mib},
		{"blocks rewritten in place", func() { writeAt(t, path("old"), random(t, mib), 4*mib) }, mib},
		{"a small file", func() { must(t, os.WriteFile(path("small"), []byte("hello"), 0o644)) }, 5},
		{"a reflink", func() { clone(t, path("clone"), path("new")) }, 0},
		{"a reflink of a small file", func() { clone(t, path("smallclone"), path("oldsmall")) }, 0},
		{"a new file and its reflink", func() {
			must(t, os.WriteFile(path("twice"), random(t, 2*mib), 0o644))
			must(t, exec.Command("sync").Run())
			clone(t, path("twiceclone"), path("twice"))
		}, 2 * mib},
		{"holes", func() { must(t, os.Truncate(path("small"), 50*mib)) }, 4096},
		{"metadata", func() {
			must(t, os.Chmod(path("old"), 0o600))
			must(t, os.Rename(path("new"), path("renamed")))
			must(t, os.Mkdir(path("dir"), 0o755))
		}, 0},
		{"removal", func() { must(t, os.Remove(path("renamed"))) }, 0},
	} {
		since := value(btrfs.SubvolumeInfo(snapshot()))(t).Generation
		step.change()
		got := value(btrfs.AddedBytes(snapshot(), since))(t)
		if got != step.want {
			t.Errorf("%s: %d bytes added, want %d", step.name, got, step.want)
		}
	}
	all := value(btrfs.AddedBytes(work, 0))(t)
	if all < 13*mib || all > 15*mib {
		t.Errorf("since 0: %d bytes, want everything", all)
	}
}

func TestAddedBytesErrors(t *testing.T) {
	w := newWorld(t)
	added := func(f *os.File) error { return only(btrfs.AddedBytes(f, 0)) }
	_, nobodyErr := asNobody(t, "AddedBytes", "", w.mine)
	checkFailures(t, "BTRFS_IOC_TREE_SEARCH_V2", append([]failure{
		notBtrfs(added(w.ext4)),
		{"plain directory", added(w.plain), []error{btrfs.ErrNotSubvolume}, nil},
		{"nobody", nobodyErr, []error{unix.EPERM}, nil},
	}, opened(added(w.path), added(w.closed))...))
}

// TestExtentSet: three snapshots in a row; what only the middle one has goes with it.
func TestExtentSet(t *testing.T) {
	const mib = 1 << 20
	dir := loopfs.New(t, "512M")
	root := openDir(t, dir)
	must(t, btrfs.CreateSubvolume(root, "work"))
	work := openDir(t, dir+"/work")
	snapshot := func(name string) *os.File {
		t.Helper()
		must(t, btrfs.CreateSnapshot(root, name, work, btrfs.SnapshotOptions{ReadOnly: true}))
		return openDir(t, dir+"/"+name)
	}
	write := func(name string, b []byte) { must(t, os.WriteFile(dir+"/work/"+name, b, 0o644)) }

	write("always", random(t, 2*mib))
	first := snapshot("first")
	since := value(btrfs.SubvolumeInfo(first))(t).Generation
	write("stays", random(t, 3*mib))
	write("goes", random(t, 4*mib))
	write("smallgoes", []byte("hello"))
	write("smallstays", []byte("hello"))
	middle := snapshot("middle")
	must(t, os.Remove(dir+"/work/goes"))
	must(t, os.Remove(dir+"/work/smallgoes"))
	last := snapshot("last")

	var own, next, all btrfs.ExtentSet
	must(t, own.Add(middle, since))
	must(t, next.Add(last, since))
	if got := own.Bytes(&next); got != 4*mib+5 {
		t.Errorf("with the next one: %d, want %d", got, 4*mib+5)
	}
	if got := own.Bytes(); got != 7*mib+10 {
		t.Errorf("without: %d, want %d", got, 7*mib+10)
	}
	// Added twice, an extent counts once.
	must(t, all.Add(first, 0))
	must(t, all.Add(middle, 0))
	if got := all.Bytes(&next); got != 6*mib+5 {
		t.Errorf("two of them: %d, want %d", got, 6*mib+5)
	}
	if got := all.Bytes(&own, &next); got != 2*mib {
		t.Errorf("without two: %d, want %d", got, 2*mib)
	}

	// Who has it the kernel tells: the subvolume it was written in, and the snapshots that have it.
	left := own.Without(&next)
	var sizes []uint64
	for address, size := range left.Largest() {
		sizes = append(sizes, size)
		if got, want := value(btrfs.ExtentHolders(root, address))(t), []uint64{value(btrfs.SubvolumeInfo(middle))(t).ID}; !slices.Equal(got, want) {
			t.Errorf("held by %d, want %d", got, want)
		}
	}
	if sum(sizes) != 4*mib || left.Bytes() != 4*mib+5 || !slices.IsSortedFunc(sizes, func(a, b uint64) int { return cmp.Compare(b, a) }) {
		t.Errorf("%d, %d in all", sizes, left.Bytes())
	}
	for address := range next.Without().Largest() {
		if got := value(btrfs.ExtentHolders(root, address))(t); len(got) != 3 { // work, too
			t.Errorf("held by %d", got)
		}
	}
	want := []uint64{}
	for _, f := range []*os.File{work, first, middle, last} {
		want = append(want, value(btrfs.SubvolumeInfo(f))(t).ID)
	}
	if got := value(btrfs.SubvolumeIDs(root))(t); !slices.Equal(got, want) {
		t.Errorf("subvolumes %d, want %d", got, want)
	}

	must(t, btrfs.DeleteSubvolume(root, "work"))
	must(t, work.Close())
	must(t, only(btrfs.WaitDeleted(t.Context(), root)))
	before := freeBytes(t, root)
	must(t, btrfs.DeleteSubvolume(root, "middle"))
	must(t, middle.Close())
	must(t, only(btrfs.WaitDeleted(t.Context(), root)))
	if freed := freeBytes(t, root) - before; freed < 4*mib || freed > 5*mib {
		t.Errorf("deleting freed %d bytes, want 4 MiB", freed)
	}
}

func TestExtentSetErrors(t *testing.T) {
	w := newWorld(t)
	freed := func(f *os.File) error { return new(btrfs.ExtentSet).Add(f, 0) }
	createFile(t, w.sub.Name()+"/new", "content").Close()
	must(t, btrfs.Sync(w.root))
	_, nobodyErr := asNobody(t, "ExtentSet", "", w.mine)
	checkFailures(t, "BTRFS_IOC_TREE_SEARCH_V2", append([]failure{
		notBtrfs(freed(w.ext4)),
		{"plain directory", freed(w.plain), []error{btrfs.ErrNotSubvolume}, nil},
		{"nobody", nobodyErr, []error{unix.EPERM}, nil},
	}, opened(freed(w.path), freed(w.closed))...))
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	f, err := os.Open("/dev/urandom")
	must(t, err)
	defer f.Close()
	_, err = f.Read(b)
	must(t, err)
	return b
}

func writeAt(t *testing.T, path string, b []byte, offset int64) {
	t.Helper()
	f := openFlags(t, path, os.O_WRONLY)
	_, err := f.WriteAt(b, offset)
	must(t, err)
	must(t, f.Close())
}

func clone(t *testing.T, dst, src string) {
	t.Helper()
	to, from := createFile(t, dst, ""), openFlags(t, src, os.O_RDONLY)
	must(t, btrfs.CloneFile(to, from))
	must(t, to.Close())
	must(t, from.Close())
}

func TestInodePath(t *testing.T) {
	w := newWorld(t)
	must(t, os.MkdirAll(w.sub.Name()+"/a/b", 0o755))
	f := createFile(t, w.sub.Name()+"/a/b/file", "")
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	id := value(btrfs.SubvolumeInfo(w.sub))(t).ID
	for _, tt := range []struct {
		from      *os.File
		id, inode uint64
		want      string
	}{
		{w.sub, 0, st.Ino, "a/b/file"},
		{w.root, id, st.Ino, "a/b/file"},
		{w.sub, 0, 256, ""},
	} {
		if got := value(btrfs.InodePath(tt.from, tt.id, tt.inode))(t); got != tt.want {
			t.Errorf("InodePath(%d, %d) = %q, want %q", tt.id, tt.inode, got, tt.want)
		}
	}
	cwd := openDir(t, w.sub.Name())
	for range 20 {
		next := strings.Repeat("d", 250)
		must(t, unix.Mkdirat(int(cwd.Fd()), next, 0o755))
		below := value(btrfs.OpenDirAt(cwd, next))(t)
		t.Cleanup(func() { below.Close() })
		cwd = below
	}
	must(t, unix.Fstat(int(cwd.Fd()), &st))

	look := func(f *os.File, id, inode uint64) error { return only(btrfs.InodePath(f, id, inode)) }
	_, nobodyErr := asNobody(t, "InodePath", "", w.sub)
	checkFailures(t, "BTRFS_IOC_INO_LOOKUP", append([]failure{
		notBtrfs(look(w.ext4, 0, 257)),
		{"no such subvolume", look(w.root, 1<<40, 257), []error{unix.ENOENT}, nil},
		{"no such inode", look(w.root, 0, 1<<40), []error{unix.ENOENT}, nil},
		{"too long", look(w.sub, 0, st.Ino), []error{unix.ENAMETOOLONG}, nil},
		{"nobody", nobodyErr, []error{unix.EPERM}, nil},
	}, opened(look(w.path, 0, 257), look(w.closed, 0, 257))...))
}

func TestSpaceInfo(t *testing.T) {
	w := newWorld(t)
	createFile(t, w.image.Mount+"/data", strings.Repeat("x", 10<<20)).Close()
	must(t, btrfs.Sync(w.root))
	profiles := map[string]string{}
	for _, s := range value(btrfs.SpaceInfo(w.root))(t) {
		profiles[s.Kind] = s.Profile
		if s.Total == 0 || s.Used > s.Total || s.Flags == 0 {
			t.Errorf("%+v", s)
		}
		if s.Kind == "data" && s.Used < 10<<20 {
			t.Errorf("data used: %d", s.Used)
		}
	}
	df := witness(t, "filesystem", "df", w.image.Mount)
	for kind, line := range map[string]string{"data": "Data, single", "metadata": "Metadata, DUP", "system": "System, DUP", "reserve": "GlobalReserve, single"} {
		if profiles[kind] == "" || !strings.EqualFold(profiles[kind], line[strings.Index(line, " ")+1:]) || !strings.Contains(df, line) {
			t.Errorf("%s is %q, btrfs says:\n%s", kind, profiles[kind], df)
		}
	}
	mixed := value(btrfs.SpaceInfo(w.other))(t)
	if mixed[0].Kind != "data+metadata" && mixed[1].Kind != "data+metadata" {
		t.Errorf("mixed block groups: %+v", mixed)
	}
	space := func(f *os.File) error { return only(btrfs.SpaceInfo(f)) }
	checkFailures(t, "BTRFS_IOC_SPACE_INFO", append([]failure{
		notBtrfs(space(w.ext4)),
	}, opened(space(w.path), space(w.closed))...))
}

func TestDeviceStats(t *testing.T) {
	w := newWorld(t)
	devices := value(btrfs.DeviceStats(w.root))(t)
	if len(devices) != 1 {
		t.Fatalf("%d devices: %+v", len(devices), devices)
	}
	d := devices[0]
	if d.ID != 1 || d.Total != 256<<20 || d.Used == 0 || d.UUID.IsZero() || !strings.HasPrefix(d.Path, "/dev/loop") {
		t.Errorf("%+v", d)
	}
	if d.WriteErrors+d.ReadErrors+d.FlushErrors+d.CorruptionErrors+d.GenerationErrors != 0 {
		t.Errorf("errors on a new device: %+v", d)
	}
	stats := func(f *os.File) error { return only(btrfs.DeviceStats(f)) }
	checkFailures(t, "BTRFS_IOC_FS_INFO", append([]failure{
		notBtrfs(stats(w.ext4)),
	}, opened(stats(w.path), stats(w.closed))...))
}

// TestDeviceStatsOfAMissingDevice mounts one half of a mirror, with the other forgotten and with it known by its name.
func TestDeviceStatsOfAMissingDevice(t *testing.T) {
	for _, forgotten := range []bool{true, false} {
		t.Run(fmt.Sprint("forgotten ", forgotten), func(t *testing.T) {
			dir := t.TempDir()
			var halves []string
			for _, name := range []string{"a", "b"} {
				image := filepath.Join(dir, name)
				must(t, os.WriteFile(image, nil, 0o600))
				must(t, os.Truncate(image, 200<<20))
				half := strings.TrimSpace(tool(t, "losetup", "--find", "--show", image))
				t.Cleanup(func() { _ = exec.Command("losetup", "--detach", half).Run() }) // one is detached already
				halves = append(halves, half)
			}
			tool(t, "mkfs.btrfs", "-q", "-m", "raid1", "-d", "raid1", halves[0], halves[1])
			if forgotten {
				tool(t, "btrfs", "device", "scan", "--forget", halves[1])
			}
			tool(t, "losetup", "--detach", halves[1])
			mount := filepath.Join(dir, "mnt")
			must(t, os.Mkdir(mount, 0o755))
			tool(t, "mount", "-o", "degraded", halves[0], mount)
			t.Cleanup(func() { tool(t, "umount", mount) })

			devices := value(btrfs.DeviceStats(openDir(t, mount)))(t)
			if len(devices) != 2 || devices[0].Path != halves[0] || devices[1].Path != "" || devices[1].ID != 2 || devices[1].Total != 200<<20 {
				t.Errorf("%+v", devices)
			}
		})
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestDeviceStatsCount spoils a block on the disk, behind the back of the filesystem, and reads it.
func TestDeviceStatsCount(t *testing.T) {
	image := loopfs.NewImage(t, "256M", "btrfs")
	content := random(t, 4096)
	must(t, os.WriteFile(image.Mount+"/file", content, 0o644))
	image.Unmount(t)
	disk := value(os.ReadFile(image.Image))(t)
	writeAt(t, image.Image, []byte("spoilt"), int64(bytes.Index(disk, content)))
	image.Remount(t)

	if _, err := os.ReadFile(image.Mount + "/file"); err == nil {
		t.Fatal("a spoilt block can be read")
	}
	if d := value(btrfs.DeviceStats(openDir(t, image.Mount)))(t)[0]; d.CorruptionErrors == 0 || d.WriteErrors != 0 {
		t.Errorf("after reading a spoilt block: %+v", d)
	}
}

func sum(numbers []uint64) (all uint64) {
	for _, n := range numbers {
		all += n
	}
	return all
}
