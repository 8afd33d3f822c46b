//go:build integration

package btrfs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

const nobody = 65534

// world is a btrfs with one of everything the calls can be pointed at.
type world struct {
	image *loopfs.Image
	root  *os.File // the top level
	path  *os.File // the same, opened with O_PATH

	sub     *os.File // a writable subvolume, "sub"
	subPath *os.File // the same, opened with O_PATH
	ro      *os.File // a read-only snapshot of it, "ro"
	outer   *os.File // a subvolume with "inner" nested in it, "outer"
	stub    *os.File // what is in the place of "inner" in a snapshot of "outer", "outersnap"
	mine    *os.File // a subvolume that belongs to nobody, "mine"

	plain   *os.File // a directory, "plain"
	home    *os.File // a directory that belongs to nobody, "home"
	file    *os.File // "file", opened read-write; "link" is a dangling symbolic link
	closed  *os.File
	deleted *os.File // a subvolume deleted while open

	ext4  *os.File // the root of an ext4
	other *os.File // the root of another btrfs
}

func newWorld(t *testing.T, mountOpts ...string) *world {
	t.Helper()
	w := &world{image: loopfs.NewImage(t, "256M", "btrfs", mountOpts...)}
	dir := w.image.Mount
	w.root = openDir(t, dir)
	w.path = openPath(t, dir)

	must(t, btrfs.CreateSubvolume(w.root, "sub"))
	w.sub, w.subPath = openDir(t, dir+"/sub"), openPath(t, dir+"/sub")
	must(t, btrfs.CreateSnapshot(w.root, "ro", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))
	w.ro = openDir(t, dir+"/ro")
	must(t, btrfs.CreateSubvolume(w.root, "outer"))
	w.outer = openDir(t, dir+"/outer")
	must(t, btrfs.CreateSubvolume(w.outer, "inner"))
	must(t, btrfs.CreateSnapshot(w.root, "outersnap", w.outer, btrfs.SnapshotOptions{}))
	w.stub = openDir(t, dir+"/outersnap/inner")
	must(t, btrfs.CreateSubvolume(w.root, "mine"))
	must(t, os.Chown(dir+"/mine", nobody, nobody))
	w.mine = openDir(t, dir+"/mine")

	must(t, os.Mkdir(dir+"/plain", 0o755))
	w.plain = openDir(t, dir+"/plain")
	must(t, os.Mkdir(dir+"/home", 0o755))
	must(t, os.Chown(dir+"/home", nobody, nobody))
	w.home = openDir(t, dir+"/home")
	w.file = createFile(t, dir+"/file", "content")
	must(t, os.Symlink("nowhere", dir+"/link"))

	w.closed = openDir(t, dir)
	must(t, w.closed.Close())
	must(t, btrfs.CreateSubvolume(w.root, "deleted"))
	w.deleted = openDir(t, dir+"/deleted")
	must(t, btrfs.DeleteSubvolume(w.root, "deleted"))

	w.ext4 = openDir(t, loopfs.NewFS(t, "32M", "ext4"))
	w.other = openDir(t, loopfs.New(t, "32M"))
	return w
}

// readOnlyMount makes the mount read-only, with the files open that allow it.
func (w *world) readOnlyMount(t *testing.T) {
	t.Helper()
	must(t, w.file.Close())
	must(t, w.deleted.Close())
	w.image.SetOptions(t, "ro")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func value[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func only[T any](_ T, err error) error { return err }

func openDir(t testing.TB, path string) *os.File {
	t.Helper()
	return openFlags(t, path, os.O_RDONLY|unix.O_DIRECTORY)
}

func openPath(t testing.TB, path string) *os.File {
	t.Helper()
	return openFlags(t, path, unix.O_PATH)
}

func openFlags(t testing.TB, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o644)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func createFile(t testing.TB, path, content string) *os.File {
	t.Helper()
	f := openFlags(t, path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	_, err := f.WriteString(content)
	must(t, err)
	return f
}

func exists(t testing.TB, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// witness runs btrfs-progs, to hear the same from somebody else.
func witness(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("btrfs", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("btrfs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// failure is one row of a function's table of errors.
type failure struct {
	name string
	err  error
	want []error // errors.Is has to find each
	not  []error // and none of these
}

func checkFailures(t *testing.T, op string, rows []failure) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if row.err == nil {
				t.Fatalf("no error, want %v", row.want)
			}
			for _, want := range row.want {
				if !errors.Is(row.err, want) {
					t.Errorf("%v: does not match %v", row.err, want)
				}
			}
			for _, not := range row.not {
				if errors.Is(row.err, not) {
					t.Errorf("%v: matches %v", row.err, not)
				}
			}
			if got := opOf(row.err); got != op && !strings.HasPrefix(row.name, "nobody") {
				t.Errorf("%v: operation %q, want %q", row.err, got, op)
			}
		})
	}
}

func opOf(err error) string {
	var path *os.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Op
	case errors.As(err, &link):
		return link.Op
	}
	return ""
}

// notBtrfs is the row that every ioctl has.
func notBtrfs(err error) failure {
	return failure{"not btrfs", err, []error{btrfs.ErrNotBtrfs, unix.ENOTTY}, []error{btrfs.ErrNotSubvolume}}
}

func opened(path, closed error) []failure {
	return []failure{
		{"opened with O_PATH", path, []error{unix.EBADF}, nil},
		{"closed", closed, []error{os.ErrClosed}, nil},
	}
}

// nobodyOps are what the test binary does when it runs again without privilege, on the files it inherits.
var nobodyOps = map[string]func(files []*os.File) error{
	"CreateSubvolume": func(f []*os.File) error { return btrfs.CreateSubvolume(f[0], "by-nobody") },
	"CreateSnapshot": func(f []*os.File) error {
		return btrfs.CreateSnapshot(f[0], "snap-by-nobody", f[1], btrfs.SnapshotOptions{ReadOnly: true})
	},
	"DeleteSubvolume":     func(f []*os.File) error { return btrfs.DeleteSubvolume(f[0], os.Getenv(nobodyArg)) },
	"DeleteSubvolumeByID": func(f []*os.File) error { return btrfs.DeleteSubvolumeByID(f[0], atoi(os.Getenv(nobodyArg))) },
	"SetReadOnly":         func(f []*os.File) error { return btrfs.SetReadOnly(f[0], true) },
	"SetReadWrite":        func(f []*os.File) error { return btrfs.SetReadOnly(f[0], false) },
	"AddedBytes":          func(f []*os.File) error { return only(btrfs.AddedBytes(f[0], 0)) },
	"ExtentSet":           func(f []*os.File) error { return new(btrfs.ExtentSet).Add(f[0], 0) },
	"InodePath":           func(f []*os.File) error { return only(btrfs.InodePath(f[0], 0, 257)) },
	"Reading":             reading,
	"TreeSearch": func(f []*os.File) error {
		for _, err := range btrfs.TreeSearch(f[0], btrfs.AllItems(0)) {
			return err
		}
		return nil
	},
	"Children": func(f []*os.File) error {
		children, err := btrfs.Children(f[0])
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(children))
	},
}

// reading is everything anybody may do.
func reading(f []*os.File) error {
	transid, err := btrfs.StartSync(f[0])
	return errors.Join(err,
		btrfs.WaitSync(f[0], transid), btrfs.Sync(f[0]), btrfs.SyncFS(f[0]),
		only(btrfs.IsBtrfs(f[0])), only(btrfs.IsSubvolume(f[0])), only(btrfs.ReadOnly(f[0])),
		only(btrfs.SubvolumeInfo(f[0])), only(btrfs.Children(f[0])), only(btrfs.DeletedCount(f[0])),
		only(btrfs.SpaceInfo(f[0])), only(btrfs.DeviceStats(f[0])))
}

func atoi(s string) (n uint64) {
	fmt.Sscan(s, &n)
	return n
}

const (
	nobodyOp  = "BTRFS_TEST_OP"
	nobodyArg = "BTRFS_TEST_ARG"
)

func TestMain(m *testing.M) {
	if op := os.Getenv(nobodyOp); op != "" {
		os.Exit(runAsNobody(op))
	}
	os.Exit(m.Run())
}

// runAsNobody answers with the errno on the last line of standard error, 0 for success.
func runAsNobody(op string) int {
	var files []*os.File
	for fd := uintptr(3); ; fd++ {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil {
			break
		}
		files = append(files, os.NewFile(fd, fmt.Sprintf("fd%d", fd)))
		if len(files) == int(atoi(os.Getenv(nobodyOp+"_FILES"))) {
			break
		}
	}
	err := nobodyOps[op](files)
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintf(os.Stderr, "%v\n%d\n", err, int(errno))
	return 0
}

// asNobody runs one of nobodyOps in a process of uid 65534 and returns its errno, and what it printed.
func asNobody(t *testing.T, op, arg string, files ...*os.File) (string, error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{nobodyOp + "=" + op, nobodyArg + "=" + arg, fmt.Sprintf("%s_FILES=%d", nobodyOp, len(files))}
	cmd.Dir = "/"
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s as nobody: %v\n%s", op, err, &stderr)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	errno := unix.Errno(atoi(lines[len(lines)-1]))
	if errno == 0 {
		return stdout.String(), nil
	}
	return stdout.String(), fmt.Errorf("as nobody: %w", errno)
}

// fill writes until the disk is full.
func fill(t *testing.T, dir string) {
	t.Helper()
	f := openFlags(t, filepath.Join(dir, "filler"), os.O_WRONLY|os.O_CREATE)
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}
