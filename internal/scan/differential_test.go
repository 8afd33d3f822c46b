package scan

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
	"github.com/rsbtbackup/rsbtbackup/internal/rename"
)

// TestListBringsACopyUpToDate changes a tree at random, also while it is being scanned and copied, and keeps a copy of
// it up to date by nothing but what scans list. After each round in which nothing happened behind the scan's back, the
// copy must be the tree: names, kinds, contents, modes, times and links.
func TestListBringsACopyUpToDate(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			for range 12 {
				w.round()
			}
			if w.moved == 0 {
				t.Error("nothing was moved")
			}
		})
	}
}

// world is a tree, its copy, and the dice.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	src, dst string
	known    *catalog.Reader
	log      []string
	names    int
	moved    int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), src: filepath.Join(t.TempDir(), "src"), dst: t.TempDir()}
	must(t, os.Mkdir(w.src, 0o755))
	for range 120 {
		w.change()
	}
	w.backup(nil, false)
	return w
}

func (w *world) round() {
	w.log = nil
	quiet()
	for range 1 + w.rng.IntN(6) {
		w.change()
	}
	w.backup(w.known, w.rng.IntN(3) == 0)
	if w.rng.IntN(2) == 0 {
		return
	}
	// Nothing happens behind the back of this one.
	w.log = append(w.log, "--")
	quiet()
	if w.rng.IntN(2) == 0 {
		w.forge() // by itself: a chmod or another link would explain the ctime
	} else {
		for range w.rng.IntN(3) {
			w.change()
		}
	}
	w.backup(w.known, false)
	if diff := cmp.Diff(w.manifest(w.src), w.manifest(w.dst)); diff != "" {
		w.t.Fatalf("the copy is not what the source is:\n%s\nafter:\n%s", diff, strings.Join(w.log, "\n"))
	}
}

// backup is one run. With races the tree changes between the walk and the transfer, and is restored afterwards.
func (w *world) backup(known *catalog.Reader, races bool) {
	res, file := walkOnly(w.t, w.src, Options{}, known)
	var list *List
	if known != nil && res.TooLong == "" {
		list = &res.List
		w.log = append(w.log, fmt.Sprintf("%+v", res.List))
	}
	undo := func() {}
	if races {
		quiet()
		undo = w.moveAway()
	}
	w.transfer(list, res, races)
	if races && w.rng.IntN(2) == 0 {
		quiet()
		undo()
		undo = func() {}
	}
	unsettled, err := res.Settle(openRoot(w.t, w.src), list)
	must(w.t, err)
	w.log = append(w.log, fmt.Sprintf("unsettled %v", unsettled))
	w.known = finish(w.t, res, file, unsettled...)
	quiet()
	undo()
}

// moveAway lets a directory be elsewhere for some time.
func (w *world) moveAway() func() {
	dir := w.pick(func(path string, d fs.FileInfo) bool { return d.IsDir() && path != w.src })
	if dir == "" {
		return func() {}
	}
	away := filepath.Join(w.src, w.name())
	w.say("away: %s to %s", dir, away)
	must(w.t, os.Rename(dir, away))
	other := ""
	if w.rng.IntN(2) == 0 { // and another one in its place
		other = w.pick(func(path string, d fs.FileInfo) bool {
			return d.IsDir() && path != w.src && !strings.HasPrefix(filepath.Dir(dir)+"/", path+"/") && path != away
		})
	}
	if other != "" {
		w.say("in its place: %s", other)
		must(w.t, os.Rename(other, dir))
	}
	return func() {
		if other != "" {
			must(w.t, os.Rename(dir, other))
		}
		must(w.t, os.Rename(away, dir))
		w.say("back")
	}
}

// transfer does what a backup does with a list: every listed name gets an inode of its own, doubtful files get another
// time, and rsync does the rest.
func (w *world) transfer(list *List, res *Result, races bool) {
	listed := map[string]bool{}
	doubts := res.List.Doubtful
	args := []string{"-aH", "--modify-window=-1", "--numeric-ids", "--delete"}
	stdin := ""
	if list != nil {
		if list.Empty() {
			return
		}
		had := func(dir string) (bool, error) {
			info, err := os.Lstat(filepath.Join(w.dst, dir))
			return err == nil && info.IsDir(), nil
		}
		kept, err := list.Restrict(had, func(string) bool { return true })
		must(w.t, err)
		for _, dir := range slices.Concat(kept.Dirs, kept.Fresh) {
			listed[dir] = true
		}
		w.replay(res.Moves, func(dir string) bool { return listed[dir] })
		for _, dir := range slices.Concat(kept.Dirs, kept.Fresh) {
			entries, err := os.ReadDir(filepath.Join(w.dst, dir))
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				w.t.Fatal(err)
			}
			for _, e := range entries {
				w.split(filepath.Join(w.dst, dir, e.Name()))
			}
		}
		for _, name := range kept.Names {
			w.split(filepath.Join(w.dst, name))
		}
		doubts = kept.Doubtful
		args = append(args, "--files-from=-", "--from0", "--ignore-missing-args")
		stdin = string(kept.Render())
	} else {
		w.replay(res.Moves, func(string) bool { return true })
		must(w.t, filepath.WalkDir(w.dst, func(path string, _ fs.DirEntry, err error) error { w.split(path); return err }))
	}
	for _, name := range doubts {
		if err := os.Chtimes(filepath.Join(w.dst, name), time.Unix(1, 1), time.Unix(1, 1)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			w.t.Fatal(err)
		}
	}
	c := exec.CommandContext(w.t.Context(), "rsync", append(args, w.src+"/", w.dst+"/")...)
	c.Stdin = strings.NewReader(stdin)
	if list != nil && races && c.Run() != nil { // a file is where a directory was: everything is compared
		again := *res
		again.Moves = nil
		w.transfer(nil, &again, false)
		return
	}
	c = exec.CommandContext(w.t.Context(), "rsync", append(args, w.src+"/", w.dst+"/")...)
	c.Stdin = strings.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("rsync: %v\n%s\n%s", err, out, strings.Join(w.log, "\n"))
	}
}

// replay does what moved, as a backup does.
func (w *world) replay(moves []Move, listed func(dir string) bool) {
	var all []rename.Move
	for _, m := range moves {
		all = append(all, rename.Move(m))
	}
	dst, err := os.Open(w.dst)
	must(w.t, err)
	defer dst.Close()
	made, err := rename.NewPlan(all, listed).Apply(w.t.Context(), dst)
	must(w.t, err)
	w.moved += made
	w.say("moved %d: %+v", made, moves)
}

func (w *world) split(path string) {
	info, err := os.Lstat(path)
	if err != nil || info.IsDir() || info.Sys().(*syscall.Stat_t).Nlink < 2 {
		return
	}
	if !info.Mode().IsRegular() {
		must(w.t, os.Remove(path))
		return
	}
	data, err := os.ReadFile(path)
	must(w.t, err)
	must(w.t, os.Remove(path))
	must(w.t, os.WriteFile(path, data, 0o600))
	must(w.t, os.Chmod(path, info.Mode().Perm()))
	must(w.t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

// manifest is all that matters of a tree.
func (w *world) manifest(root string) map[string]string {
	all := map[string]string{}
	groups := map[uint64]string{}
	must(w.t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		must(w.t, err)
		info, err := d.Info()
		must(w.t, err)
		rel, content := strings.TrimPrefix(path, root), ""
		st := info.Sys().(*syscall.Stat_t)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			must(w.t, err)
			content = string(data)
		case info.Mode()&os.ModeSymlink != 0:
			content, err = os.Readlink(path)
			must(w.t, err)
		}
		if !info.IsDir() && groups[st.Ino] == "" {
			groups[st.Ino] = rel
		}
		all[rel] = fmt.Sprintf("%v %v %q %s %d", info.Mode(), info.ModTime().UnixNano(), content, groups[st.Ino], linksOf(info))
		return nil
	}))
	return all
}

func linksOf(info fs.FileInfo) uint64 {
	if info.IsDir() {
		return 0
	}
	return uint64(info.Sys().(*syscall.Stat_t).Nlink)
}

func (w *world) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) name() string {
	w.names++
	return fmt.Sprintf("%s%d", []string{"n", "#", ";", "-", "\n"}[w.rng.IntN(5)], w.names)
}

func (w *world) pick(which func(path string, info fs.FileInfo) bool) string {
	var all []string
	must(w.t, filepath.WalkDir(w.src, func(path string, d fs.DirEntry, err error) error {
		must(w.t, err)
		info, err := d.Info()
		must(w.t, err)
		if which(path, info) {
			all = append(all, path)
		}
		return nil
	}))
	if len(all) == 0 {
		return ""
	}
	return all[w.rng.IntN(len(all))]
}

func isDir(_ string, info fs.FileInfo) bool { return info.IsDir() }

func isFile(_ string, info fs.FileInfo) bool { return info.Mode().IsRegular() }

func (w *world) isBelow(path string, info fs.FileInfo) bool { return path != w.src }

// change draws one change and makes it.
func (w *world) change() {
	dir, file := w.pick(isDir), w.pick(isFile)
	fresh := filepath.Join(dir, w.name())
	if file == "" {
		must(w.t, os.WriteFile(fresh, []byte("first"), 0o644))
		return
	}
	info, err := os.Stat(file)
	must(w.t, err)
	content := fmt.Appendf(nil, "%c%05d", 'a'+w.rng.IntN(26), w.rng.IntN(100000))
	switch kind := w.rng.IntN(14); kind {
	case 0, 1:
		w.say("write %q", fresh)
		must(w.t, os.WriteFile(fresh, content, 0o644))
	case 2:
		w.say("mkdir %q", fresh)
		must(w.t, os.MkdirAll(filepath.Join(fresh, "sub"), 0o755))
	case 3:
		w.say("edit %q", file)
		must(w.t, os.WriteFile(file, content, 0o644))
	case 4, 5:
		w.say("chmod %q", file)
		must(w.t, os.Chmod(file, info.Mode()^0o100))
	case 6:
		w.say("link %q to %q", file, fresh)
		must(w.t, os.Link(file, fresh))
	case 7:
		w.say("symlink %q", fresh)
		must(w.t, os.Symlink(string(content), fresh))
	case 8, 9:
		from := w.pick(w.isBelow)
		to := fresh
		if strings.HasPrefix(to, from+"/") {
			return
		}
		w.say("rename %q to %q", from, to)
		must(w.t, os.Rename(from, to))
	case 10:
		w.swap()
	case 11:
		gone := w.pick(w.isBelow)
		w.say("remove %q", gone)
		must(w.t, os.RemoveAll(gone))
	case 12:
		w.say("a copy in place of %q", file)
		must(w.t, os.WriteFile(fresh, content, info.Mode()))
		must(w.t, os.Rename(fresh, file))
	case 13:
		w.say("a directory in place of %q", file)
		must(w.t, os.Remove(file))
		must(w.t, os.Mkdir(file, 0o700))
	}
}

// forge writes to a file and puts back its time: rsync alone would not notice.
func (w *world) forge() {
	file := w.pick(isFile)
	if file == "" {
		return
	}
	info, err := os.Stat(file)
	must(w.t, err)
	w.say("edit %q, size and time as before", file)
	content := fmt.Appendf(nil, "%c%05d", 'a'+w.rng.IntN(26), w.rng.IntN(100000))
	must(w.t, os.WriteFile(file, append(content, make([]byte, 64)...)[:info.Size()], 0o644))
	must(w.t, os.Chtimes(file, info.ModTime(), info.ModTime()))
}

func (w *world) swap() {
	a, b := w.pick(w.isBelow), w.pick(w.isBelow)
	if a == "" || b == "" || strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/") {
		return
	}
	w.say("swap %q and %q", a, b)
	must(w.t, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
}
