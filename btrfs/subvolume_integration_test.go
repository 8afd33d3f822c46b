//go:build integration

package btrfs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

func TestOpenDir(t *testing.T) {
	w := newWorld(t)
	dir := w.image.Mount
	f, err := btrfs.OpenDir(dir + "/plain")
	must(t, err)
	defer f.Close()
	if flags := value(unix.FcntlInt(f.Fd(), unix.F_GETFD, 0))(t); flags&unix.FD_CLOEXEC == 0 {
		t.Error("not close-on-exec")
	}
	must(t, os.Symlink("plain", dir+"/tolink"))
	followed, err := btrfs.OpenDir(dir + "/tolink")
	must(t, err)
	followed.Close()

	checkFailures(t, "open", []failure{
		{"not btrfs", only(btrfs.OpenDir(w.ext4.Name())), []error{btrfs.ErrNotBtrfs}, nil},
		{"a file", only(btrfs.OpenDir(dir + "/file")), []error{unix.ENOTDIR}, nil},
		{"missing", only(btrfs.OpenDir(dir + "/none")), []error{os.ErrNotExist}, nil},
	})
}

func TestOpenDirAt(t *testing.T) {
	w := newWorld(t)
	dir := w.image.Mount
	f, err := btrfs.OpenDirAt(w.root, "sub")
	must(t, err)
	defer f.Close()
	if want := w.root.Name() + "/sub"; f.Name() != want {
		t.Errorf("Name() = %q, want %q", f.Name(), want)
	}
	if flags := value(unix.FcntlInt(f.Fd(), unix.F_GETFD, 0))(t); flags&unix.FD_CLOEXEC == 0 {
		t.Error("not close-on-exec")
	}
	must(t, os.Symlink("plain", dir+"/tolink"))
	must(t, os.Mkdir(dir+"/mounted", 0o755))
	must(t, unix.Mount(dir+"/sub", dir+"/mounted", "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir+"/mounted", unix.MNT_DETACH) })

	open := func(parent *os.File, name string) error { return only(btrfs.OpenDirAt(parent, name)) }
	checkFailures(t, "openat2", append([]failure{
		{"another subvolume mounted there", open(w.root, "mounted"), []error{btrfs.ErrMountPoint, unix.EXDEV}, nil},
		{"a symbolic link to a directory", open(w.root, "tolink"), []error{unix.ENOTDIR}, nil},
		{"a file", open(w.root, "file"), []error{unix.ENOTDIR}, nil},
		{"missing", open(w.root, "none"), []error{os.ErrNotExist}, nil},
		{"closed parent", open(w.closed, "sub"), []error{os.ErrClosed}, nil},
	}, invalidNames(func(name string) error { return open(w.root, name) })...))
}

func invalidNames(call func(name string) error) []failure {
	return []failure{
		{"empty name", call(""), []error{btrfs.ErrInvalidName, unix.EINVAL}, nil},
		{"name with a slash", call("plain/x"), []error{btrfs.ErrInvalidName, unix.EINVAL}, nil},
		{"name .", call("."), []error{btrfs.ErrInvalidName, unix.EINVAL}, nil},
		{"name ..", call(".."), []error{btrfs.ErrInvalidName, unix.EINVAL}, nil},
		{"name with NUL", call("sub\x00x"), []error{btrfs.ErrInvalidName, unix.EINVAL}, nil},
		{"name of 256 bytes", call(strings.Repeat("x", 256)), []error{btrfs.ErrInvalidName, unix.ENAMETOOLONG}, nil},
	}
}

func TestIsBtrfsIsSubvolume(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name          string
		f             *os.File
		btrfs, subvol bool
	}{
		{"top level", w.root, true, true},
		{"subvolume", w.sub, true, true},
		{"subvolume, O_PATH", w.subPath, true, true},
		{"read-only snapshot", w.ro, true, true},
		{"deleted subvolume", w.deleted, true, true},
		{"plain directory", w.plain, true, false},
		{"file", w.file, true, false},
		{"stub of a nested subvolume", w.stub, true, false},
		{"ext4", w.ext4, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is, err := btrfs.IsBtrfs(tt.f)
			must(t, err)
			sub, err := btrfs.IsSubvolume(tt.f)
			must(t, err)
			if is != tt.btrfs || sub != tt.subvol {
				t.Errorf("btrfs %v, subvolume %v; want %v, %v", is, sub, tt.btrfs, tt.subvol)
			}
		})
	}
	checkFailures(t, "fstatfs", []failure{{"closed", only(btrfs.IsBtrfs(w.closed)), []error{os.ErrClosed}, nil}})
	checkFailures(t, "fstat", []failure{{"closed", only(btrfs.IsSubvolume(w.closed)), []error{os.ErrClosed}, nil}})
}

func TestCreateSubvolume(t *testing.T) {
	w := newWorld(t)
	dir := w.image.Mount
	for _, name := range []string{"new", "-n", "with space", "2026-11-23-09:00", "new\nline", "\xff\xfe", strings.Repeat("x", 255)} {
		must(t, btrfs.CreateSubvolume(w.root, name))
		witness(t, "subvolume", "show", "--", filepath.Join(dir, name))
	}
	if _, err := asNobody(t, "CreateSubvolume", "", w.home); err != nil {
		t.Errorf("in a directory of one's own: %v", err)
	}

	create := func(parent *os.File, name string) error { return btrfs.CreateSubvolume(parent, name) }
	_, nobodyErr := asNobody(t, "CreateSubvolume", "", w.root)
	rows := []failure{
		notBtrfs(create(w.ext4, "x")),
		{"exists as a subvolume", create(w.root, "sub"), []error{unix.EEXIST, os.ErrExist}, nil},
		{"exists as a file", create(w.root, "file"), []error{unix.EEXIST}, nil},
		{"exists as a dangling link", create(w.root, "link"), []error{unix.EEXIST}, nil},
		{"read-only subvolume", create(w.ro, "x"), []error{unix.EROFS}, nil},
		{"in a file", create(w.file, "x"), []error{unix.ENOTDIR}, nil},
		{"in a deleted subvolume", create(w.deleted, "x"), []error{unix.ENOENT}, nil},
		{"in a stub", create(w.stub, "x"), []error{unix.ENOTTY}, []error{btrfs.ErrNotBtrfs}},
		{"nobody in a directory of root", nobodyErr, []error{unix.EACCES, os.ErrPermission}, nil},
	}
	rows = append(rows, opened(create(w.path, "x"), create(w.closed, "x"))...)
	rows = append(rows, invalidNames(func(name string) error { return create(w.root, name) })...)
	w.readOnlyMount(t)
	rows = append(rows, failure{"read-only mount", create(w.root, "x"), []error{unix.EROFS}, nil})
	checkFailures(t, "BTRFS_IOC_SUBVOL_CREATE_V2", rows)
}

func TestCreateSnapshot(t *testing.T) {
	w := newWorld(t)
	dir := w.image.Mount
	must(t, os.WriteFile(dir+"/sub/data", []byte("before"), 0o644))
	must(t, btrfs.CreateSnapshot(w.root, "rw", w.sub, btrfs.SnapshotOptions{}))
	must(t, btrfs.CreateSnapshot(w.plain, "frozen", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))
	must(t, btrfs.CreateSnapshot(w.root, "thawed", openDir(t, dir+"/plain/frozen"), btrfs.SnapshotOptions{}))
	must(t, os.WriteFile(dir+"/sub/data", []byte("after"), 0o644))
	for path, readOnly := range map[string]bool{"rw": false, "plain/frozen": true, "thawed": false} {
		if got := string(value(os.ReadFile(filepath.Join(dir, path, "data")))(t)); got != "before" {
			t.Errorf("%s/data = %q, want %q", path, got, "before")
		}
		want := fmt.Sprintf("ro=%v\n", readOnly)
		if got := witness(t, "property", "get", filepath.Join(dir, path), "ro"); got != want {
			t.Errorf("%s: btrfs says %q, want %q", path, got, want)
		}
	}
	if _, err := asNobody(t, "CreateSnapshot", "", w.home, w.mine); err != nil {
		t.Errorf("of a subvolume of one's own: %v", err)
	}

	snap := func(parent *os.File, name string, src *os.File) error {
		return btrfs.CreateSnapshot(parent, name, src, btrfs.SnapshotOptions{ReadOnly: true})
	}
	_, nobodyErr := asNobody(t, "CreateSnapshot", "", w.home, w.sub)
	rows := []failure{
		notBtrfs(snap(w.ext4, "x", w.sub)),
		{"source is a plain directory", snap(w.root, "x", w.plain), []error{btrfs.ErrNotSubvolume, unix.EINVAL}, nil},
		{"source is a file", snap(w.root, "x", w.file), []error{btrfs.ErrNotSubvolume, unix.EINVAL}, nil},
		{"source is a stub", snap(w.root, "x", w.stub), []error{btrfs.ErrNotSubvolume, unix.EINVAL}, nil},
		{"source with O_PATH", snap(w.root, "x", w.subPath), []error{unix.EINVAL}, []error{btrfs.ErrNotSubvolume}},
		{"source on another btrfs", snap(w.root, "x", w.other), []error{unix.EXDEV}, nil},
		{"source on ext4", snap(w.root, "x", w.ext4), []error{unix.EXDEV}, nil},
		{"source deleted", snap(w.root, "x", w.deleted), []error{unix.ENOENT, os.ErrNotExist}, nil},
		{"source closed", snap(w.root, "x", w.closed), []error{os.ErrClosed}, nil},
		{"source with a swap file", snap(w.root, "x", swapOn(t, w)), []error{unix.ETXTBSY}, nil},
		{"exists as a subvolume", snap(w.root, "ro", w.sub), []error{unix.EEXIST, os.ErrExist}, nil},
		{"exists as an empty directory", snap(w.root, "home", w.sub), []error{unix.EEXIST}, nil},
		{"exists as a dangling link", snap(w.root, "link", w.sub), []error{unix.EEXIST}, nil},
		{"read-only subvolume", snap(w.ro, "x", w.sub), []error{unix.EROFS}, nil},
		{"in a file", snap(w.file, "x", w.sub), []error{unix.ENOTDIR}, nil},
		{"nobody of a subvolume of root", nobodyErr, []error{unix.EPERM, os.ErrPermission}, nil},
	}
	rows = append(rows, opened(snap(w.path, "x", w.sub), snap(w.closed, "x", w.sub))...)
	rows = append(rows, invalidNames(func(name string) error { return snap(w.root, name, w.sub) })...)
	swapOff(t, w)
	w.readOnlyMount(t)
	rows = append(rows, failure{"read-only mount", snap(w.root, "x", w.sub), []error{unix.EROFS}, nil})
	checkFailures(t, "BTRFS_IOC_SNAP_CREATE_V2", rows)
}

// swapOn makes a subvolume "swap" with an active swap file.
func swapOn(t *testing.T, w *world) *os.File {
	t.Helper()
	must(t, btrfs.CreateSubvolume(w.root, "swap"))
	dir := w.image.Mount + "/swap"
	witness(t, "filesystem", "mkswapfile", "--size", "2M", dir+"/swapfile")
	command(t, "swapon", dir+"/swapfile")
	t.Cleanup(func() { exec.Command("swapoff", dir+"/swapfile").Run() })
	return openDir(t, dir)
}

func swapOff(t *testing.T, w *world) {
	t.Helper()
	command(t, "swapoff", w.image.Mount+"/swap/swapfile")
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// TestCreateWhenFull: a disk filled to the last metadata block.
func TestCreateWhenFull(t *testing.T) {
	dir := loopfs.New(t, "16M")
	root := openDir(t, dir)
	must(t, btrfs.CreateSubvolume(root, "first"))
	first := openDir(t, dir+"/first")
	fill(t, dir)
	var create, snapshot error
	for i := 0; i < 2000 && create == nil; i++ {
		create = btrfs.CreateSubvolume(root, fmt.Sprint("sub", i))
	}
	for i := 0; i < 2000 && snapshot == nil; i++ {
		snapshot = btrfs.CreateSnapshot(root, fmt.Sprint("snap", i), first, btrfs.SnapshotOptions{})
	}
	checkFailures(t, "BTRFS_IOC_SUBVOL_CREATE_V2", []failure{{"create", create, []error{unix.ENOSPC}, nil}})
	checkFailures(t, "BTRFS_IOC_SNAP_CREATE_V2", []failure{{"snapshot", snapshot, []error{unix.ENOSPC}, nil}})
}

func TestDeleteSubvolume(t *testing.T) {
	w := newWorld(t)
	dir := w.image.Mount
	must(t, btrfs.CreateSnapshot(w.root, "full", w.ro, btrfs.SnapshotOptions{ReadOnly: true}))
	must(t, btrfs.DeleteSubvolume(w.root, "full"))
	if exists(t, dir+"/full") {
		t.Error("still there")
	}
	must(t, os.Symlink("sub", dir+"/tosub"))

	del := btrfs.DeleteSubvolume
	_, nobodyErr := asNobody(t, "DeleteSubvolume", "mine", w.root)
	rows := []failure{
		{"a plain directory", del(w.root, "plain"), []error{btrfs.ErrNotSubvolume, unix.EINVAL}, nil},
		{"a file", del(w.root, "file"), []error{unix.ENOTDIR}, nil},
		{"a symbolic link to a subvolume", del(w.root, "tosub"), []error{unix.ENOTDIR}, nil},
		{"a dangling link", del(w.root, "link"), []error{unix.ENOTDIR}, nil},
		{"missing", del(w.root, "none"), []error{unix.ENOENT, os.ErrNotExist}, nil},
		{"with a nested one", del(w.root, "outer"), []error{unix.ENOTEMPTY}, nil},
		{"the default subvolume", del(w.root, makeDefault(t, w)), []error{unix.EPERM}, nil},
		{"with a swap file", func() error { swapOn(t, w); return del(w.root, "swap") }(), []error{unix.EPERM}, nil},
		{"in a read-only subvolume", del(readOnlyParent(t, w), "inner"), []error{unix.EROFS}, nil},
		{"in a file", del(w.file, "x"), []error{unix.ENOTDIR}, nil},
		{"nobody", nobodyErr, []error{unix.EPERM, os.ErrPermission}, nil},
	}
	rows = append(rows, opened(del(w.path, "sub"), del(w.closed, "sub"))...)
	rows = append(rows, invalidNames(func(name string) error { return del(w.root, name) })...)
	for _, name := range []string{"plain", "sub", "outer", "mine"} {
		if !exists(t, filepath.Join(dir, name)) {
			t.Errorf("a refused call removed %s", name)
		}
	}
	swapOff(t, w)
	w.readOnlyMount(t)
	rows = append(rows, failure{"read-only mount", del(w.root, "sub"), []error{unix.EROFS}, nil})
	checkFailures(t, "BTRFS_IOC_SNAP_DESTROY_V2", rows)
	// The answer comes from the older call, tried last.
	checkFailures(t, "BTRFS_IOC_SNAP_DESTROY", []failure{notBtrfs(del(w.ext4, "x"))})
}

func makeDefault(t *testing.T, w *world) string {
	t.Helper()
	must(t, btrfs.CreateSubvolume(w.root, "default"))
	witness(t, "subvolume", "set-default", w.image.Mount+"/default")
	return "default"
}

func readOnlyParent(t *testing.T, w *world) *os.File {
	t.Helper()
	must(t, btrfs.SetReadOnly(w.outer, true))
	return w.outer
}

// TestDeleteSubvolumeAsOwner: the mount option lets owners delete what is not read-only.
func TestDeleteSubvolumeAsOwner(t *testing.T) {
	w := newWorld(t, "user_subvol_rm_allowed")
	for _, op := range []struct {
		op, name string
		files    []*os.File
	}{
		{"CreateSubvolume", "", []*os.File{w.home}},
		{"CreateSnapshot", "", []*os.File{w.home, w.mine}},
	} {
		if _, err := asNobody(t, op.op, op.name, op.files...); err != nil {
			t.Fatal(err)
		}
	}
	snap := openDir(t, w.home.Name()+"/snap-by-nobody")
	id := value(btrfs.SubvolumeInfo(snap))(t).ID

	_, readOnly := asNobody(t, "DeleteSubvolume", "snap-by-nobody", w.home)
	_, readOnlyByID := asNobody(t, "DeleteSubvolumeByID", fmt.Sprint(id), w.home)
	mine := value(btrfs.SubvolumeInfo(w.mine))(t).ID
	_, parentOfRoot := asNobody(t, "DeleteSubvolume", "mine", w.root)
	_, parentOfRootByID := asNobody(t, "DeleteSubvolumeByID", fmt.Sprint(mine), w.sub)
	_, itself := asNobody(t, "DeleteSubvolumeByID", fmt.Sprint(mine), w.mine)
	checkFailures(t, "", []failure{
		{"nobody, read-only", readOnly, []error{unix.EROFS}, nil},
		{"nobody, read-only by id", readOnlyByID, []error{unix.EROFS}, nil},
		{"nobody, in a directory of root", parentOfRoot, []error{unix.EACCES}, nil},
		{"nobody, in a directory of root by id", parentOfRootByID, []error{unix.EACCES}, nil},
		{"nobody, from itself by id", itself, []error{unix.EINVAL}, nil},
	})
	must(t, btrfs.CreateSubvolume(w.home, "byid"))
	must(t, os.Chown(w.home.Name()+"/byid", nobody, nobody))
	byID := value(btrfs.SubvolumeInfo(openDir(t, w.home.Name()+"/byid")))(t).ID
	for _, step := range []struct {
		op, arg string
		file    *os.File
	}{
		{"DeleteSubvolume", "by-nobody", w.home},
		{"DeleteSubvolumeByID", fmt.Sprint(byID), w.sub},
		{"SetReadWrite", "", snap},
		{"DeleteSubvolume", "snap-by-nobody", w.home},
	} {
		if _, err := asNobody(t, step.op, step.arg, step.file); err != nil {
			t.Errorf("%s %s: %v", step.op, step.arg, err)
		}
	}
}

func TestDeleteSubvolumeByID(t *testing.T) {
	w := newWorld(t)
	for _, from := range []string{"the top level", "another subvolume", "itself"} {
		must(t, btrfs.CreateSubvolume(w.plain, "byid"))
		itself := openDir(t, w.plain.Name()+"/byid")
		id := value(btrfs.SubvolumeInfo(itself))(t).ID
		f := map[string]*os.File{"the top level": w.root, "another subvolume": w.sub, "itself": itself}[from]
		must(t, btrfs.DeleteSubvolumeByID(f, id))
		if exists(t, w.plain.Name()+"/byid") {
			t.Errorf("from %s: still there", from)
		}
		checkFailures(t, "BTRFS_IOC_SNAP_DESTROY_V2", []failure{
			{"again", btrfs.DeleteSubvolumeByID(w.root, id), []error{unix.ENOENT}, nil},
		})
	}

	del := btrfs.DeleteSubvolumeByID
	mine := value(btrfs.SubvolumeInfo(w.mine))(t).ID
	_, nobodyErr := asNobody(t, "DeleteSubvolumeByID", fmt.Sprint(mine), w.root)
	rows := []failure{
		notBtrfs(del(w.ext4, mine)),
		{"unknown", del(w.root, 1<<40), []error{unix.ENOENT, os.ErrNotExist}, nil},
		{"the top level", del(w.root, 5), []error{unix.EINVAL}, []error{btrfs.ErrNotSubvolume}},
		{"zero", del(w.root, 0), []error{unix.EINVAL}, nil},
		{"with a nested one", del(w.root, value(btrfs.SubvolumeInfo(w.outer))(t).ID), []error{unix.ENOTEMPTY}, nil},
		{"nobody", nobodyErr, []error{unix.EPERM}, nil},
	}
	rows = append(rows, opened(del(w.path, mine), del(w.closed, mine))...)
	w.readOnlyMount(t)
	rows = append(rows, failure{"read-only mount", del(w.root, mine), []error{unix.EROFS}, nil})
	checkFailures(t, "BTRFS_IOC_SNAP_DESTROY_V2", rows)
}

func TestSubvolumeInfo(t *testing.T) {
	w := newWorld(t)
	start := time.Now().Add(-time.Second)
	must(t, btrfs.CreateSubvolume(w.plain, "source"))
	source := openDir(t, w.plain.Name()+"/source")
	must(t, btrfs.CreateSnapshot(w.sub, "copy", source, btrfs.SnapshotOptions{ReadOnly: true}))
	copied := openDir(t, w.sub.Name()+"/copy")

	sub, src, got := value(btrfs.SubvolumeInfo(w.sub))(t), value(btrfs.SubvolumeInfo(source))(t), value(btrfs.SubvolumeInfo(copied))(t)
	if got.ID <= src.ID || got.Generation == 0 || got.CTransID == 0 || got.OTransID < src.OTransID {
		t.Errorf("ids do not grow: snapshot %+v of %+v", got, src)
	}
	if got.OTime.Before(start) || got.OTime.After(time.Now()) || got.CTime.Before(start) {
		t.Errorf("created %v, changed %v; want about %v", got.OTime, got.CTime, start)
	}
	if src.UUID.IsZero() || src.UUID == got.UUID {
		t.Errorf("uuids %v and %v", src.UUID, got.UUID)
	}
	got.Generation, got.CTransID, got.OTransID, got.CTime, got.OTime = 0, 0, 0, time.Time{}, time.Time{}
	want := btrfs.Info{
		ID: got.ID, ParentID: sub.ID, DirID: 256, Name: "copy", ReadOnly: true,
		UUID: got.UUID, ParentUUID: src.UUID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("SubvolumeInfo (-want +got):\n%s", diff)
	}
	if src.ParentID != 5 || src.Name != "source" || src.ReadOnly || !src.ParentUUID.IsZero() {
		t.Errorf("source: %+v", src)
	}
	show := witness(t, "subvolume", "show", copied.Name())
	for _, want := range []string{got.UUID.String(), src.UUID.String(), fmt.Sprint(got.ID)} {
		if !strings.Contains(show, want) {
			t.Errorf("btrfs subvolume show lacks %s:\n%s", want, show)
		}
	}
	if top := value(btrfs.SubvolumeInfo(w.root))(t); top.ID != 5 || top.Name != "" || top.ParentID != 0 || top.DirID != 0 {
		t.Errorf("top level: %+v", top)
	}

	info := func(f *os.File) error { return only(btrfs.SubvolumeInfo(f)) }
	checkFailures(t, "BTRFS_IOC_GET_SUBVOL_INFO", append([]failure{
		notBtrfs(info(w.ext4)),
		{"plain directory", info(w.plain), []error{btrfs.ErrNotSubvolume}, []error{btrfs.ErrNotBtrfs}},
		{"file", info(w.file), []error{btrfs.ErrNotSubvolume}, nil},
		{"stub", info(w.stub), []error{btrfs.ErrNotSubvolume}, nil},
		{"deleted", info(w.deleted), []error{unix.ENOENT}, nil},
	}, opened(info(w.path), info(w.closed))...))
}

// TestReceivedUUID has no call of its own to make one, so btrfs receive does.
func TestReceivedUUID(t *testing.T) {
	w := newWorld(t)
	stream := filepath.Join(t.TempDir(), "stream")
	witness(t, "send", "-q", "-f", stream, w.ro.Name())
	witness(t, "receive", "-q", "-f", stream, w.plain.Name())
	src := value(btrfs.SubvolumeInfo(w.ro))(t)
	got := value(btrfs.SubvolumeInfo(openDir(t, w.plain.Name()+"/ro")))(t)
	if got.ReceivedUUID != src.UUID || got.STransID == 0 || got.RTransID == 0 || got.RTime.IsZero() {
		t.Errorf("received: %+v; sent: %+v", got, src)
	}
}

func TestReadOnly(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		f    *os.File
		want bool
	}{{w.sub, false}, {w.ro, true}, {w.root, false}} {
		if got := value(btrfs.ReadOnly(tt.f))(t); got != tt.want {
			t.Errorf("ReadOnly(%s) = %v, want %v", tt.f.Name(), got, tt.want)
		}
	}
	get := func(f *os.File) error { return only(btrfs.ReadOnly(f)) }
	checkFailures(t, "BTRFS_IOC_SUBVOL_GETFLAGS", append([]failure{
		notBtrfs(get(w.ext4)),
		{"plain directory", get(w.plain), []error{btrfs.ErrNotSubvolume}, nil},
		{"file", get(w.file), []error{btrfs.ErrNotSubvolume}, nil},
		{"stub", get(w.stub), []error{btrfs.ErrNotSubvolume}, []error{btrfs.ErrNotBtrfs}},
	}, opened(get(w.path), get(w.closed))...))
}

func TestSetReadOnly(t *testing.T) {
	w := newWorld(t)
	for _, ro := range []bool{true, true, false, false} {
		must(t, btrfs.SetReadOnly(w.sub, ro))
		if got := value(btrfs.ReadOnly(w.sub))(t); got != ro {
			t.Errorf("after SetReadOnly(%v): %v", ro, got)
		}
		if got := value(btrfs.SubvolumeInfo(w.sub))(t); got.ReadOnly != ro {
			t.Errorf("after SetReadOnly(%v): SubvolumeInfo says %v", ro, got.ReadOnly)
		}
	}
	if _, err := asNobody(t, "SetReadOnly", "", w.mine); err != nil {
		t.Errorf("of a subvolume of one's own: %v", err)
	}
	checkFailures(t, "BTRFS_IOC_SUBVOL_GETFLAGS", append([]failure{
		notBtrfs(btrfs.SetReadOnly(w.ext4, true)),
		{"plain directory", btrfs.SetReadOnly(w.plain, true), []error{btrfs.ErrNotSubvolume}, nil},
		{"file", btrfs.SetReadOnly(w.file, true), []error{btrfs.ErrNotSubvolume}, nil},
		{"stub", btrfs.SetReadOnly(w.stub, true), []error{btrfs.ErrNotSubvolume}, nil},
	}, opened(btrfs.SetReadOnly(w.path, true), btrfs.SetReadOnly(w.closed, true))...))

	_, nobodyErr := asNobody(t, "SetReadOnly", "", w.sub)
	rows := []failure{
		{"nobody", nobodyErr, []error{unix.EPERM, os.ErrPermission}, nil},
		{"while sending", duringSend(t, w.ro, func() error { return btrfs.SetReadOnly(w.ro, false) }), []error{unix.EPERM}, nil},
	}
	w.readOnlyMount(t)
	rows = append(rows, failure{"read-only mount", btrfs.SetReadOnly(w.sub, true), []error{unix.EROFS}, nil})
	checkFailures(t, "BTRFS_IOC_SUBVOL_SETFLAGS", rows)
}

// duringSend runs call while a send of f hangs in a full pipe.
func duringSend(t *testing.T, f *os.File, call func() error) error {
	t.Helper()
	must(t, btrfs.SetReadOnly(f, false))
	createFile(t, f.Name()+"/big", strings.Repeat("x", 4<<20)).Close()
	must(t, btrfs.SetReadOnly(f, true))
	read, write, err := os.Pipe()
	must(t, err)
	cmd := exec.Command("btrfs", "send", "-q", f.Name())
	cmd.Stdout = write
	must(t, cmd.Start())
	write.Close()
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	result := call()
	must(t, cmd.Process.Kill())
	read.Close()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("btrfs send: %v", err)
	}
	return result
}

func TestChildren(t *testing.T) {
	w := newWorld(t)
	dir := w.sub.Name()
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	must(t, os.MkdirAll(dir+"/secret/in", 0o700))
	want := map[string]uint64{}
	for _, place := range []string{"", "a/b", "secret/in"} {
		parent := openDir(t, filepath.Join(dir, place))
		must(t, btrfs.CreateSubvolume(parent, "nested"))
		path := filepath.Join(place, "nested")
		want[path] = value(btrfs.SubvolumeInfo(openDir(t, filepath.Join(dir, path))))(t).ID
	}
	must(t, btrfs.CreateSubvolume(openDir(t, dir+"/nested"), "deeper"))

	got := map[string]uint64{}
	children := value(btrfs.Children(w.sub))(t)
	for _, c := range children {
		got[c.Path] = c.ID
		if c.DirID == 0 {
			t.Errorf("%s: no DirID", c.Path)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Children (-want +got):\n%s", diff)
	}
	if !slices.IsSortedFunc(children, func(a, b btrfs.Child) int { return int(a.ID) - int(b.ID) }) {
		t.Errorf("not in the order of ids: %v", children)
	}
	for _, f := range []*os.File{w.ro, w.deleted} {
		if got := value(btrfs.Children(f))(t); len(got) != 0 {
			t.Errorf("Children of %s, which has none: %v", f.Name(), got)
		}
	}

	out, err := asNobody(t, "Children", "", w.sub)
	must(t, err)
	var seen []btrfs.Child
	must(t, json.Unmarshal([]byte(out), &seen))
	var paths []string
	for _, c := range seen {
		paths = append(paths, c.Path)
	}
	if diff := cmp.Diff([]string{"nested", "a/b/nested", ""}, paths); diff != "" {
		t.Errorf("Children as nobody (-want +got):\n%s", diff)
	}

	call := func(f *os.File) error { return only(btrfs.Children(f)) }
	checkFailures(t, "BTRFS_IOC_GET_SUBVOL_ROOTREF", append([]failure{
		notBtrfs(call(w.ext4)),
		{"plain directory", call(w.plain), []error{btrfs.ErrNotSubvolume}, nil},
		{"file", call(w.file), []error{btrfs.ErrNotSubvolume}, nil},
		{"stub", call(w.stub), []error{btrfs.ErrNotSubvolume}, nil},
	}, opened(call(w.path), call(w.closed))...))
}

// TestChildrenPages: one call of the kernel tells 255.
func TestChildrenPages(t *testing.T) {
	root := openDir(t, loopfs.New(t, "256M"))
	for i := range 600 {
		must(t, btrfs.CreateSubvolume(root, fmt.Sprint(i)))
		if n := i + 1; n != 254 && n != 255 && n != 256 && n != 510 && n != 511 && n != 600 {
			continue
		}
		children := value(btrfs.Children(root))(t)
		if len(children) != i+1 || children[i].Path != fmt.Sprint(i) {
			t.Fatalf("%d children, the last %+v; want %d", len(children), children[len(children)-1], i+1)
		}
	}
}

func TestReadingAsNobody(t *testing.T) {
	w := newWorld(t)
	if _, err := asNobody(t, "Reading", "", w.sub); err != nil {
		t.Error(err)
	}
}

func TestSync(t *testing.T) {
	w := newWorld(t)
	before := value(btrfs.StartSync(w.root))(t)
	must(t, btrfs.WaitSync(w.root, before))
	must(t, btrfs.CreateSubvolume(w.root, "dirty"))
	transid := value(btrfs.StartSync(w.root))(t)
	if transid <= before {
		t.Errorf("transaction %d after %d", transid, before)
	}
	must(t, btrfs.WaitSync(w.root, transid))
	must(t, btrfs.WaitSync(w.root, 0))
	must(t, btrfs.Sync(w.root))
	must(t, btrfs.SyncFS(w.root))
	must(t, btrfs.SyncFS(w.ext4))

	checkFailures(t, "BTRFS_IOC_START_SYNC", append([]failure{
		notBtrfs(only(btrfs.StartSync(w.ext4))),
	}, opened(only(btrfs.StartSync(w.path)), only(btrfs.StartSync(w.closed)))...))
	checkFailures(t, "BTRFS_IOC_WAIT_SYNC", append([]failure{
		notBtrfs(btrfs.WaitSync(w.ext4, 0)),
		{"in the future", btrfs.WaitSync(w.root, transid+1000), []error{unix.EINVAL}, nil},
	}, opened(btrfs.WaitSync(w.path, 0), btrfs.WaitSync(w.closed, 0))...))
	checkFailures(t, "BTRFS_IOC_SYNC", append([]failure{
		notBtrfs(btrfs.Sync(w.ext4)),
	}, opened(btrfs.Sync(w.path), btrfs.Sync(w.closed))...))
	checkFailures(t, "syncfs", opened(btrfs.SyncFS(w.path), btrfs.SyncFS(w.closed)))
}

func TestDeletedCount(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		must(t, btrfs.CreateSubvolume(w.root, "gone"))
		must(t, btrfs.DeleteSubvolume(w.root, "gone"))
	}
	if n := value(btrfs.DeletedCount(w.root))(t); n == 0 {
		t.Error("DeletedCount = 0 right after ten deletions")
	}
	must(t, only(btrfs.WaitDeleted(t.Context(), w.root)))
	if n := value(btrfs.DeletedCount(w.root))(t); n != 0 {
		t.Errorf("DeletedCount = %d after WaitDeleted", n)
	}
	checkFailures(t, "BTRFS_IOC_SUBVOL_SYNC_WAIT", append([]failure{
		notBtrfs(only(btrfs.DeletedCount(w.ext4))),
	}, opened(only(btrfs.DeletedCount(w.path)), only(btrfs.DeletedCount(w.closed)))...))
}

// TestWaitDeleted: the space is there when it returns, however it has to find out. Small files are slow to clean.
func TestWaitDeleted(t *testing.T) {
	for name, wait := range map[string]func(context.Context, *os.File) ([]uint64, error){
		"as it is":      btrfs.WaitDeleted,
		"without count": btrfs.WaitDeletedWithoutCount,
		"without root":  btrfs.WaitDeletedWithoutRoot,
		"by watching":   btrfs.WaitDeletedByWatching,
	} {
		t.Run(name, func(t *testing.T) {
			dir := loopfs.New(t, "1G")
			root := openDir(t, dir)
			before := freeBytes(t, root)
			must(t, btrfs.CreateSubvolume(root, "big"))
			for i := range 15000 {
				must(t, os.WriteFile(fmt.Sprintf("%s/big/%d", dir, i), make([]byte, 1800), 0o644))
			}
			must(t, btrfs.Sync(root))
			used := before - freeBytes(t, root)
			must(t, btrfs.DeleteSubvolume(root, "big"))
			start := time.Now()
			must(t, only(wait(t.Context(), root)))
			t.Logf("took %v", time.Since(start))
			if missing := before - freeBytes(t, root); missing > 2<<20 {
				t.Errorf("%d of %d bytes did not come back", missing, used)
			}
		})
	}
}

// TestWaitDeletedHeldOpen: it comes back, although what is held open cannot be cleaned.
func TestWaitDeletedHeldOpen(t *testing.T) {
	dir := loopfs.New(t, "256M")
	root := openDir(t, dir)
	must(t, btrfs.CreateSubvolume(root, "held"))
	must(t, os.WriteFile(dir+"/held/data", random(t, 32<<20), 0o644))
	held := openDir(t, dir+"/held")
	id := value(btrfs.SubvolumeInfo(held))(t).ID
	must(t, btrfs.Sync(root))
	before := freeBytes(t, root)
	must(t, btrfs.DeleteSubvolume(root, "held"))
	ids := value(btrfs.WaitDeleted(t.Context(), root))(t)
	if freed := freeBytes(t, root) - before; freed > 1<<20 {
		t.Errorf("%d bytes freed while it is open", freed)
	}
	if !slices.Equal(ids, []uint64{id}) {
		t.Errorf("held: %d, want %d", ids, id)
	}
	must(t, held.Close())
	if ids := value(btrfs.WaitDeleted(t.Context(), root))(t); len(ids) > 0 {
		t.Errorf("held after it was closed: %d", ids)
	}
	if freed := freeBytes(t, root) - before; freed < 31<<20 {
		t.Errorf("%d bytes freed after it was closed, want 32 MiB", freed)
	}
}

func TestWaitDeletedErrors(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	checkFailures(t, "BTRFS_IOC_SYNC", append([]failure{
		notBtrfs(only(btrfs.WaitDeleted(t.Context(), w.ext4))),
	}, opened(only(btrfs.WaitDeleted(t.Context(), w.path)), only(btrfs.WaitDeleted(t.Context(), w.closed)))...))
	checkFailures(t, "wait for deleted subvolumes", []failure{
		{"cancelled", only(btrfs.WaitDeletedByWatching(ctx, w.root)), []error{context.Canceled}, nil},
	})
}

func freeBytes(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Fstatfs(int(f.Fd()), &st))
	return int64(st.Bfree) * int64(st.Bsize)
}

func TestCloneFile(t *testing.T) {
	w := newWorld(t)
	dir := w.image.Mount
	content := strings.Repeat("0123456789abcdef", 1<<16)
	src := createFile(t, dir+"/src", content)
	dst := createFile(t, dir+"/sub/dst", "")
	must(t, btrfs.CloneFile(dst, src))
	if got := string(value(os.ReadFile(dir + "/sub/dst"))(t)); got != content {
		t.Error("the clone differs")
	}
	must(t, btrfs.Sync(w.root))
	if du := witness(t, "filesystem", "du", "--raw", dir+"/sub/dst"); !strings.Contains(du, " 0 ") {
		t.Errorf("the clone has blocks of its own:\n%s", du)
	}
	long := createFile(t, dir+"/long", content+"the rest")
	must(t, btrfs.CloneFile(long, src))
	if got := string(value(os.ReadFile(dir + "/long"))(t)); got != content+"the rest" {
		t.Error("the bytes past the end of src did not stay")
	}

	noCow := createFile(t, dir+"/nocow", "")
	command(t, "chattr", "+C", dir+"/nocow")
	fifo := makeFifo(t, dir+"/fifo")
	ext4 := createFile(t, w.ext4.Name()+"/a", "a")
	rows := []failure{
		{"other filesystem", btrfs.CloneFile(dst, ext4), []error{unix.EXDEV}, nil},
		{"no reflinks", btrfs.CloneFile(createFile(t, w.ext4.Name()+"/b", ""), ext4), []error{unix.EOPNOTSUPP, errors.ErrUnsupported}, nil},
		{"source is a directory", btrfs.CloneFile(dst, w.plain), []error{unix.EISDIR}, nil},
		{"source is a fifo", btrfs.CloneFile(dst, fifo), []error{unix.EINVAL}, nil},
		{"source has no checksums", btrfs.CloneFile(dst, noCow), []error{unix.EINVAL}, nil},
		{"source is write-only", btrfs.CloneFile(dst, openFlags(t, dir+"/src", os.O_WRONLY)), []error{unix.EBADF}, nil},
		{"destination is read-only", btrfs.CloneFile(openFlags(t, dir+"/sub/dst", os.O_RDONLY), src), []error{unix.EBADF}, nil},
		{"source closed", btrfs.CloneFile(dst, w.closed), []error{os.ErrClosed}, nil},
		{"destination closed", btrfs.CloneFile(w.closed, src), []error{os.ErrClosed}, nil},
		{"swap file", btrfs.CloneFile(noCow, func() *os.File { swapOn(t, w); return openFlags(t, dir+"/swap/swapfile", os.O_RDONLY) }()), []error{unix.ETXTBSY}, nil},
	}
	swapOff(t, w)
	checkFailures(t, "FICLONE", rows)
}

func makeFifo(t *testing.T, path string) *os.File {
	t.Helper()
	must(t, unix.Mkfifo(path, 0o644))
	return openFlags(t, path, os.O_RDWR)
}
