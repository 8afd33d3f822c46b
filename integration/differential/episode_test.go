//go:build integration

package differential

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

const (
	immutable = 0x10 // FS_IMMUTABLE_FL of linux/fs.h
	// recheckEvery rounds, all backups are read again; in between only the new ones.
	recheckEvery = 10
	maxChanges   = 14
)

// A mode is a way of transferring; each has a destination of its own in every round.
type mode struct {
	name string
	set  func(o *rsbtbackup.BackupOptions, rng *rand.Rand)
}

func modes() []mode {
	pure := []mode{
		{"in place", func(o *rsbtbackup.BackupOptions, _ *rand.Rand) { o.Scan = rsbtbackup.ScanFull }},
		{"walk", func(o *rsbtbackup.BackupOptions, _ *rand.Rand) { o.Scan = rsbtbackup.ScanWalk }},
		{"generation", func(o *rsbtbackup.BackupOptions, _ *rand.Rand) { o.Scan = rsbtbackup.ScanAuto }}, // of a btrfs source
		{"whole files", func(o *rsbtbackup.BackupOptions, _ *rand.Rand) { o.WholeFiles = true }},
		{"checksum", func(o *rsbtbackup.BackupOptions, _ *rand.Rand) { o.Checksum = true }},
	}
	all := append(slices.Clone(pure), sparseMode())
	return append(pure, mode{"mixed", func(o *rsbtbackup.BackupOptions, rng *rand.Rand) { all[rng.IntN(len(all))].set(o, rng) }})
}

// sparseMode is what a user may ask for; it is no default because, in place, it costs space.
func sparseMode() mode {
	return mode{"sparse", func(o *rsbtbackup.BackupOptions, _ *rand.Rand) { o.RsyncArgs = []string{"--sparse"} }}
}

// An episode is what follows from one seed.
type episode struct {
	t      *testing.T
	seed   uint64
	world  *world
	copier copier
	copies string // where the plain copies are
	dests  []*destination
	round  int
	tally  *tally
	// counted are the backups of each destination that the tally has.
	counted map[*destination]int
}

// A destination gathers the backups of one mode.
type destination struct {
	mode   mode
	path   string
	killer string // see there
	stream uint64 // of dice that belong to it alone
	kept   []kept
	last   time.Duration // of the last whole run
	// How many runs asked rsync about what a walk had found, and how many asked btrfs.
	walked, asked int
	renamed       int // by all of them
}

// A kept is one backup and what it has to be equal to forever.
type kept struct {
	name string
	want expected
}

type expected struct {
	manifest manifest
	copy     string
}

// A tally is what a test has seen.
type tally struct {
	rounds, backups, walked, asked, renamed, interrupted, reread, wrongNames, wrongBytes atomic.Int64
}

func newEpisode(t *testing.T, seed uint64, sum *tally) *episode {
	e := &episode{t: t, seed: seed, tally: sum, counted: map[*destination]int{}}
	e.source()
	options := [][]string{nil, {"compress=zstd:1"}, {"nodatasum"}}
	base := loopfs.New(t, "6G", options[seed%3]...)
	for i, m := range modes() {
		d := &destination{mode: m, path: filepath.Join(base, fmt.Sprint("dest", i)), killer: filepath.Join(t.TempDir(), "rsync"), stream: seed<<8 + uint64(i)}
		if err := errors.Join(os.Mkdir(d.path, 0o700), os.WriteFile(d.killer, []byte(killer), 0o700)); err != nil {
			t.Fatal(err)
		}
		if _, err := rsbtbackup.Init(t.Context(), d.path, rsbtbackup.InitOptions{}); err != nil {
			t.Fatal(err)
		}
		e.dests = append(e.dests, d)
	}
	return e
}

// source makes an empty source: a btrfs subvolume for even seeds, a directory on ext4 for odd ones.
func (e *episode) source() {
	fstype := [...]string{"btrfs", "ext4"}[e.seed%2]
	mount := loopfs.NewFS(e.t, "4G", fstype)
	root := filepath.Join(mount, "source")
	e.copies = filepath.Join(mount, "copies")
	var err error
	if fstype == "btrfs" {
		e.copier = snapshotCopier{}
		err = createSubvolume(e.t, mount, "source")
	} else {
		e.copier = cpCopier{}
		err = os.Mkdir(root, 0o755)
	}
	if err := errors.Join(err, os.Mkdir(e.copies, 0o755)); err != nil {
		e.t.Fatal(err)
	}
	e.world = newWorld(root, e.seed)
}

func (e *episode) run(rounds int) {
	e.must(e.world.change(fewEntries + 20))
	for e.round = 1; e.round <= rounds; e.round++ {
		e.must(e.world.change(1 + e.world.rng.IntN(maxChanges)))
		e.interrupt()
		e.backup()
		e.tally.rounds.Add(1)
		if e.round%recheckEvery == 0 || e.round == rounds {
			e.recheck()
		}
	}
}

func (e *episode) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("round %d: %v\nreplay: DIFFERENTIAL_SEED=%d DIFFERENTIAL_ROUNDS=%d go test -tags integration -run 'TestDifferential$' ./integration/differential\nthe last changes were:\n%s",
			e.round, squeeze(err.Error()), e.seed, e.round, e.world.history())
	}
}

// each works on all destinations at once.
func (e *episode) each(work func(*destination) error) {
	e.t.Helper()
	errs := make([]error, len(e.dests))
	var group sync.WaitGroup
	for i, d := range e.dests {
		group.Go(func() {
			if err := work(d); err != nil {
				errs[i] = fmt.Errorf("mode %q: %w", d.mode.name, err)
			}
		})
	}
	group.Wait()
	e.must(errors.Join(errs...))
}

// expect makes the plain copy and reads it.
func (e *episode) expect(name string) expected {
	e.t.Helper()
	e.copier.copy(e.t, e.world.root, e.copies, name)
	want := expected{copy: filepath.Join(e.copies, name)}
	var err error
	want.manifest, err = readManifest(want.copy)
	e.must(err)
	return want
}

// interrupt runs, for some modes, a backup that is cut short; then the source goes on changing.
func (e *episode) interrupt() {
	var chosen []*destination
	for _, d := range e.dests {
		if rng := d.dice(e.round, "whether"); rng.IntN(6) == 0 || e.round == 1 && rng.IntN(2) == 0 {
			chosen = append(chosen, d)
		}
	}
	if len(chosen) == 0 {
		return
	}
	want := e.expect(fmt.Sprint(e.round, "-interrupted"))
	e.each(func(d *destination) error {
		if !slices.Contains(chosen, d) {
			return nil
		}
		return d.cutShort(e.round, e.world.root, want)
	})
	e.tally.interrupted.Add(int64(len(chosen)))
	e.must(e.world.change(e.world.rng.IntN(maxChanges)))
}

func (e *episode) backup() {
	want := e.expect(fmt.Sprint(e.round))
	fixed := e.world.makeImmutable()
	e.each(func(d *destination) error { return d.backup(e.round, e.world.root, want) })
	e.must(e.world.setImmutable(fixed, false))
	after, err := readManifest(e.world.root)
	e.must(err)
	if _, text := want.manifest.diff(after, 10); text != "" {
		e.must(fmt.Errorf("the source is not what it was before the backup:\n%s", text))
	}
	e.each(func(d *destination) error { return d.compare(len(d.kept)-1, e.tally) })
	for _, d := range e.dests {
		e.tally.backups.Add(int64(len(d.kept) - e.counted[d]))
		e.counted[d] = len(d.kept)
		e.tally.walked.Add(int64(d.walked))
		e.tally.asked.Add(int64(d.asked))
		e.tally.renamed.Add(int64(d.renamed))
		d.walked, d.asked, d.renamed = 0, 0, 0
	}
}

// recheck reads every backup again, and asks List whether there are others.
func (e *episode) recheck() {
	for _, d := range e.dests {
		e.tally.reread.Add(int64(len(d.kept)))
	}
	e.each(func(d *destination) error {
		for i := range d.kept {
			if err := d.compare(i, e.tally); err != nil {
				return err
			}
		}
		return d.compareList()
	})
}

// dice begin anew for each use in each round: how many of them a run needs that is cut short depends on how far it
// came, and must not change what follows.
func (d *destination) dice(round int, use string) *rand.Rand {
	hash := fnv.New64a()
	fmt.Fprint(hash, round, use)
	return rand.New(rand.NewPCG(d.stream, hash.Sum64()))
}

func (d *destination) options(source string, rng *rand.Rand) rsbtbackup.BackupOptions {
	o := rsbtbackup.BackupOptions{
		Source: source, Dest: d.path,
		// What a killed rsync leaves behind keeps the lock until it has ended too.
		LockWait: time.Minute,
		Now:      time.Date(2000, 1, 1, 0, len(d.kept), 0, 0, time.Local),
	}
	d.mode.set(&o, rng)
	return o
}

// cutShort makes a run that ends early; when it is too quick for that, it has made one more backup.
func (d *destination) cutShort(round int, source string, want expected) error {
	rng := d.dice(round, "how")
	o := d.options(source, rng)
	i := interruption(rng.IntN(int(interruptions)))
	after := max(time.Millisecond, time.Duration(rng.Float64()*float64(max(d.last, 30*time.Millisecond))))
	ctx, cancel, err := i.arrange(&o, d.killer, after)
	if err != nil {
		return err
	}
	defer cancel()
	report, err := rsbtbackup.Backup(ctx, o)
	if report.Name != "" {
		if err != nil {
			return fmt.Errorf("%s after %v: published, but with an error: %w", i, after, err)
		}
		d.kept = append(d.kept, kept{report.Name, want})
		return nil
	}
	if err == nil {
		return fmt.Errorf("%s after %v: nothing published, and no error", i, after)
	}
	if rng.IntN(3) == 0 {
		return tear(rng, d.path)
	}
	return nil
}

func (d *destination) backup(round int, source string, want expected) error {
	o := d.options(source, d.dice(round, "backup"))
	began := time.Now()
	report, err := rsbtbackup.Backup(context.Background(), o)
	if err != nil {
		return fmt.Errorf("backup: %w (rsync says %q)", err, report.Complaints)
	}
	if report.Scan.Missed > 0 {
		return fmt.Errorf("the walk missed %d changes: see the log of %s", report.Scan.Missed, d.path)
	}
	d.last = time.Since(began)
	switch report.Scan.Mode {
	case rsbtbackup.ScanWalk:
		d.walked++
	case rsbtbackup.ScanGeneration:
		d.asked++
	}
	d.renamed += report.Scan.Renamed
	d.kept = append(d.kept, kept{report.Name, want})
	return nil
}

func (d *destination) compare(i int, sum *tally) error {
	k := d.kept[i]
	path := filepath.Join(d.path, k.name)
	got, err := readManifest(path)
	if err != nil {
		return err
	}
	if got.sum == k.want.manifest.sum {
		return nil
	}
	var before manifest
	if i > 0 {
		before = d.kept[i-1].want.manifest
	}
	wrong, text := k.want.manifest.diffSince(before, got, 10)
	bytes := wrongBytes(k.want.copy, path, wrong)
	sum.wrongNames.Add(int64(len(wrong)))
	sum.wrongBytes.Add(bytes)
	return fmt.Errorf("backup %d, %s, is wrong in %d names and %d bytes:\n%s", i+1, k.name, len(wrong), bytes, text)
}

func (d *destination) compareList() error {
	list, err := rsbtbackup.List(context.Background(), d.path)
	if err != nil {
		return err
	}
	var got, want []string
	for _, b := range list.Backups {
		got = append(got, b.Name)
	}
	for _, k := range d.kept {
		want = append(want, k.name)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("listed are %q, made were %q", got, want)
	}
	if newest := list.Backups[len(list.Backups)-1]; !newest.Current || newest.Status != rsbtbackup.Complete || list.Pending || len(list.Foreign) > 0 {
		return fmt.Errorf("after a complete run: newest %+v, pending %v, foreign %q", newest, list.Pending, list.Foreign)
	}
	return nil
}

// makeImmutable sets the immutable flag on up to two entries for the time of a backup.
func (w *world) makeImmutable() []string {
	entries, err := w.entries()
	if err != nil {
		return nil
	}
	var fixed []string
	for range w.rng.IntN(3) {
		e, err := w.pick(entries, func(e entry) bool { return e.isFile() || e.isDir() })
		if err == nil && w.setImmutable([]string{e.rel}, true) == nil {
			fixed = append(fixed, e.rel)
		}
	}
	return fixed
}

func (w *world) setImmutable(paths []string, on bool) error {
	for _, rel := range paths {
		f, err := os.Open(w.path(rel))
		if err != nil {
			return err
		}
		flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if on {
			flags |= immutable
		} else {
			flags &^= immutable
		}
		if err == nil {
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return pathError("chattr", f.Name(), err)
		}
	}
	return nil
}
