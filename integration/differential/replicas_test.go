//go:build integration

package differential

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

const (
	normalPairs   = 6
	pairsOfAWorld = 3
)

// TestCopiesOfRandomWorlds copies backups of trees that change at random. Each copy is its backup, by walking both and
// by what the kernel sends of both; so is what btrfs-progs makes of the copy, and what we make of what btrfs-progs has
// made of the backup. DIFFERENTIAL_COPIES=N in the environment makes N pairs, from seeds never used before;
// DIFFERENTIAL_SEED=S begins with that one.
func TestCopiesOfRandomWorlds(t *testing.T) {
	pairs, first := uint64(normalPairs), uint64(1)
	if n := fromEnv(t, "DIFFERENTIAL_COPIES"); n > 0 {
		pairs, first = n, uint64(time.Now().Unix())*1000
	}
	if seed := fromEnv(t, "DIFFERENTIAL_SEED"); seed > 0 {
		first = seed
	}
	var compared, names, bothWays atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for seed := first; seed < first+(pairs+pairsOfAWorld-1)/pairsOfAWorld; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				w := newReplicas(t, seed)
				for range pairsOfAWorld {
					names.Add(int64(w.round(t, &bothWays)))
					compared.Add(1)
				}
			})
		}
	})
	t.Logf("%d pairs with %d names are the same, %d of them also by btrfs-progs, both ways", compared.Load(), names.Load(), bothWays.Load())
	if bothWays.Load() == 0 && !t.Failed() {
		t.Error("btrfs-progs has received none")
	}
}

// replicas are a world, its backups, and the copies of these.
type replicas struct {
	episode      *episode
	dest         *destination
	copy         string // made by Copy
	theirs       string // made by btrfs-progs, of the backups
	theirsOfCopy string // made by btrfs-progs, of the copies
	oursOfTheirs string // made by Receive, of theirs
	spoilt       bool
	last         string
}

func newReplicas(t *testing.T, seed uint64) *replicas {
	e := &episode{t: t, seed: seed, tally: &tally{}, counted: map[*destination]int{}}
	e.source()
	if err := e.world.change(fewEntries + 20); err != nil {
		t.Fatal(err)
	}
	options := [][]string{nil, {"compress=zstd:1"}, {"compress-force=zlib"}}
	from, to := loopfs.New(t, "2G", options[seed%3]...), loopfs.New(t, "2G", options[seed/3%3]...)
	w := &replicas{episode: e, dest: &destination{mode: modes()[seed%uint64(len(modes()))], path: filepath.Join(from, "dest"), stream: seed << 8}}
	for path, at := range map[*string]string{&w.copy: "copy", &w.theirs: "theirs", &w.theirsOfCopy: "theirsofcopy", &w.oursOfTheirs: "oursoftheirs"} {
		*path = filepath.Join(to, at)
	}
	for _, dir := range []string{w.dest.path, w.copy, w.theirs, w.theirsOfCopy, w.oursOfTheirs} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if dir == w.theirs || dir == w.theirsOfCopy {
			continue
		}
		if _, err := rsbtbackup.Init(t.Context(), dir, rsbtbackup.InitOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// round changes the world, backs it up, copies that, and returns how many names were compared.
func (w *replicas) round(t *testing.T, bothWays *atomic.Int64) int {
	t.Helper()
	if err := w.episode.world.change(1 + w.episode.world.rng.IntN(maxChanges)); err != nil {
		t.Fatal(err)
	}
	if err := w.dest.backup(len(w.dest.kept), w.episode.world.root, expected{}); err != nil {
		t.Fatal(err)
	}
	name := w.dest.kept[len(w.dest.kept)-1].name
	if _, err := rsbtbackup.Copy(t.Context(), w.dest.path, w.copy, nil, rsbtbackup.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if r, err := rsbtbackup.VerifyAgainstCopy(t.Context(), w.dest.path, w.copy, nil, rsbtbackup.AgainstCopyOptions{}); err != nil {
		t.Errorf("compared with its copy: %v\n%+v", err, r.Found)
	}
	want := mustRead(t, filepath.Join(w.dest.path, name))
	// btrfs-progs 6.2 lets what it makes inherit the default ACL of the root, and never takes it away again.
	w.spoilt = w.spoilt || strings.Contains(want.lines["."], "posix_acl_default")
	made := map[string]string{"the copy": w.copy}
	if !w.spoilt {
		w.progs(t, w.dest.path, w.theirs, name)
		w.progs(t, w.copy, w.theirsOfCopy, name)
		w.receive(t, name)
		made["theirs"], made["theirs of the copy"], made["ours of theirs"] = w.theirs, w.theirsOfCopy, w.oursOfTheirs
		bothWays.Add(1)
	}
	w.last = name
	wantHoles := readHoles(t, filepath.Join(w.dest.path, name), want)
	sent := readStream(t, filepath.Join(w.dest.path, name))
	for what, dir := range made {
		path := filepath.Join(dir, name)
		want, got := want, mustRead(t, path)
		if dir != w.copy {
			want, got = asProgs(want), asProgs(got)
		}
		if wrong, text := want.diff(got, 20); len(wrong) > 0 {
			t.Errorf("%s of %s differs in %d names:\n%s", what, name, len(wrong), text)
		}
		if dir != w.copy {
			continue
		}
		if wrong, text := wantHoles.diff(readHoles(t, path, want), 20); len(wrong) > 0 {
			t.Errorf("%s of %s has other holes in %d files:\n%s", what, name, len(wrong), text)
		}
		if wrong, text := sent.diff(readStream(t, path), 20); len(wrong) > 0 {
			t.Errorf("what is sent of %s of %s differs in %d names:\n%s", what, name, len(wrong), text)
		}
	}
	if t.Failed() {
		t.Fatalf("seed %d; the last changes were:\n%s", w.episode.seed, w.episode.world.history())
	}
	return len(want.lines)
}

var (
	anyTime = regexp.MustCompile(`mtime=\S+`)
	setID   = regexp.MustCompile(`^mode=10[0-7]`)
)

// asProgs leaves out what btrfs-progs 6.2 does not keep: the time of the root, which has that of the last name made in
// it, and set-id bits after a chown that the stream has for another reason.
func asProgs(m manifest) manifest {
	lines := make(map[string]string, len(m.lines))
	for path, line := range m.lines {
		lines[path] = setID.ReplaceAllString(line, "mode=10*")
	}
	lines["."] = anyTime.ReplaceAllString(lines["."], "")
	return manifest{lines: lines}
}

func mustRead(t *testing.T, root string) manifest {
	t.Helper()
	m, err := readManifest(root)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// progs has btrfs-progs receive what the kernel sends of a backup, as an increment of the one before.
func (w *replicas) progs(t *testing.T, from, to, name string) {
	t.Helper()
	receive := exec.Command("btrfs", "-q", "receive", to)
	stream, wait := w.send(t, from, name)
	receive.Stdin = stream
	if out, err := receive.CombinedOutput(); err != nil {
		t.Fatalf("btrfs receive of %s: %v\n%s", name, err, out)
	}
	wait()
}

// receive makes a backup of what the kernel sends of what btrfs-progs has made.
func (w *replicas) receive(t *testing.T, name string) {
	t.Helper()
	stream, wait := w.send(t, w.theirs, name)
	if _, err := rsbtbackup.Receive(t.Context(), w.oursOfTheirs, stream, rsbtbackup.ReceiveOptions{Name: name}); err != nil {
		t.Fatal(err)
	}
	wait()
}

func (w *replicas) send(t *testing.T, from, name string) (stream io.Reader, wait func()) {
	t.Helper()
	subvol := testdest.OpenDir(t, filepath.Join(from, name))
	var parent *os.File
	o := btrfs.SendOptions{Version: 2}
	if w.last != "" {
		parent = testdest.OpenDir(t, filepath.Join(from, w.last))
		o.CloneSources = []*os.File{parent}
	}
	sending, err := btrfs.StartSend(t.Context(), subvol, parent, o)
	if err != nil {
		t.Fatal(err)
	}
	return sending, func() {
		if err := sending.Close(); err != nil {
			t.Error(err)
		}
		subvol.Close()
		if parent != nil {
			parent.Close()
		}
	}
}
