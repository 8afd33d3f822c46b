package receive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	ts "github.com/rsbtbackup/rsbtbackup/internal/teststream"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// seeds are streams of the kernel, each increment after what it builds on.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	for _, name := range []string{"full-v1", "increment-v1", "full-v2", "increment-v2"} {
		stream, err := os.ReadFile("testdata/" + name + ".stream")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stream)
	}
	return all
}

// hostile are values that a mutation puts in the place of a path, a target or a name.
var hostile = []string{
	"", ".", "..", "../outside", "../../outside/canary", "/outside", "/etc/passwd", "out", "out/canary", "out/dir/new", "d/l", "d/l/../x",
	"a", "d", "d/e", "d/text", "f", "h", "p", "n", "k", "a/b", "d//e", "d/", "a\x00b", "o257-7-0", strings.Repeat("x", 256),
	strings.Repeat("d/", 2100) + "x", "/proc/self/root/tmp", "proc/self/fd/3", "security.capability", "system.posix_acl_default", "btrfs.compression",
}

// numbers likewise.
var numbers = []uint64{0, 1, 2, 4095, 4096, 65536, 1 << 31, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1, 0o4777, 0o60666}

// mutate changes some commands of a stream and makes the checksums right again.
func mutate(r *rand.Rand, stream []byte) []byte {
	header, commands := ts.Split(stream)
	v2 := header[13] >= 2
	for range 1 + r.IntN(4) {
		i, j := r.IntN(len(commands)), r.IntN(len(commands))
		switch r.IntN(8) {
		case 0:
			commands = append(commands[:i:i], commands[min(i+1+r.IntN(3), len(commands)):]...)
		case 1:
			commands = append(commands[:i:i], append([][]byte{commands[j]}, commands[i:]...)...)
		case 2:
			commands[i], commands[j] = commands[j], commands[i]
		case 3:
			body := bytes.Clone(ts.Body(commands[i]))
			if len(body) > 0 {
				body[r.IntN(len(body))] ^= byte(1 << r.IntN(8))
			}
			commands[i] = ts.Raw(ts.Number(commands[i]), body)
		case 4:
			commands[i] = ts.Raw(uint16(r.IntN(28)), ts.Body(commands[i]))
		default:
			commands[i] = replaceValue(r, commands[i], v2)
		}
		if len(commands) == 0 {
			return header
		}
	}
	return append(bytes.Clone(header), bytes.Join(commands, nil)...)
}

// replaceValue gives one attribute of a command another value of its kind.
func replaceValue(r *rand.Rand, command []byte, v2 bool) []byte {
	var attrs []ts.Attr
	for b := ts.Body(command); len(b) >= 4; {
		kind := binary.LittleEndian.Uint16(b)
		if v2 && kind == 19 {
			attrs = append(attrs, ts.Attr{Kind: kind, Value: b[2:]})
			break
		}
		n := min(int(binary.LittleEndian.Uint16(b[2:])), len(b)-4) // an earlier mutation may have made it too long
		attrs, b = append(attrs, ts.Attr{Kind: kind, Value: b[4 : 4+n]}), b[4+n:]
	}
	if len(attrs) == 0 {
		return command
	}
	a := &attrs[r.IntN(len(attrs))]
	switch a.Kind {
	case 13, 15, 16, 17, 22:
		a.Value = []byte(hostile[r.IntN(len(hostile))])
	case 2, 3, 4, 5, 6, 7, 8, 18, 21, 23, 24, 26, 27, 28, 29:
		a.Value = binary.LittleEndian.AppendUint64(nil, numbers[r.IntN(len(numbers))])
	case 25, 30, 31:
		a.Value = binary.LittleEndian.AppendUint32(nil, uint32(numbers[r.IntN(len(numbers))]))
	default:
		a.Value = a.Value[:r.IntN(len(a.Value)+1)]
	}
	return ts.Command(ts.Number(command), v2, attrs...)
}

// arena is a directory to apply streams in, with something beside it that must stay as it is.
type arena struct {
	dir, outside string
	before       string
}

func newArena(t testing.TB) *arena {
	t.Helper()
	dir := t.TempDir()
	a := &arena{dir: dir, outside: filepath.Join(dir, "outside")}
	for _, err := range []error{
		os.MkdirAll(a.outside+"/dir", 0o755),
		os.WriteFile(a.outside+"/canary", []byte("alive"), 0o600),
		os.Symlink("canary", a.outside+"/link"),
		unix.Mkfifo(a.outside+"/fifo", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a.before = a.look(t)
	return a
}

// look tells every inode outside with all that changes when anything is done to it.
func (a *arena) look(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(a.outside, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		fmt.Fprintln(&b, path, st.Ino, st.Mode, st.Nlink, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// apply runs streams one after the other in a fresh directory, as Receive would in a fresh subvolume.
func (a *arena) apply(t testing.TB, streams ...[]byte) error {
	t.Helper()
	sub := filepath.Join(a.dir, "work")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	defer a.clear(t, sub)
	root, err := os.Open(sub)
	if err != nil {
		t.Fatal(err)
	}
	beside, err := os.Open(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	w := &work{tree: newTree(root), sources: &sources{dest: beside}, orphans: orphans{}, kept: kept{xattrs: map[string][]byte{}}}
	defer w.close()
	var result error
	for _, stream := range streams {
		reader := sendstream.NewReader(bytes.NewReader(stream))
		h, err := readHead(reader)
		if err != nil {
			return err
		}
		w.sources.own = h.uuid
		if err := w.apply(context.Background(), reader, &Result{}); err != nil {
			result = err
		}
	}
	return result
}

// clear removes what was made, after clearing flags that forbid it. It also uses only descriptors.
func (a *arena) clear(t testing.TB, sub string) {
	t.Helper()
	_ = filepath.WalkDir(sub, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.IsDir() || e.Type().IsRegular()) {
			if f, err := os.Open(path); err == nil {
				if flags, err := btrfs.FileFlags(f); err == nil && flags&freezing != 0 {
					_ = btrfs.SetFileFlags(f, flags&^freezing)
				}
				f.Close()
			}
		}
		return nil
	})
	if err := os.RemoveAll(sub); err != nil {
		t.Fatal(err)
	}
}

// TestMutations: for any stream nothing is written outside its directory, nothing panics, and nothing waits forever.
// STREAMS sets their number.
func TestMutations(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not as root: owners and devices are refused, so that few streams come to their end")
	}
	n, seed := 3000, uint64(1)
	if s := os.Getenv("STREAMS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		seed = rand.Uint64()
		t.Logf("%d streams from seed %d", n, seed)
	}
	a, bases, r := newArena(t), seeds(t), rand.New(rand.NewPCG(seed, 0))
	whole := 0
	for i := range n {
		k := r.IntN(len(bases))
		streams := [][]byte{mutate(r, bases[k])}
		if k%2 == 1 {
			streams = [][]byte{bases[k-1], streams[0]}
		}
		if err := a.apply(t, streams...); err == nil {
			whole++
		}
		if i%100 == 99 || i == n-1 {
			if after := a.look(t); after != a.before {
				t.Fatalf("outside has changed, among the %d streams before %d of seed %d:\n%s\n%s", 100, i, seed, a.before, after)
			}
		}
	}
	t.Logf("%d streams, %d came to their end", n, whole)
}

func FuzzReceive(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	a := newArena(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		if err := a.apply(t, stream); errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if after := a.look(t); after != a.before {
			t.Fatalf("outside has changed:\n%s\n%s", a.before, after)
		}
	})
}
