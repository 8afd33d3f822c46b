//go:build integration

package faults

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// dest is a backup directory and what is known of it.
type dest struct {
	path string
	// backups maps each backup that was seen to be right to its digest; it must stay so forever.
	backups map[string]string
	// incomplete is what a test expects to be published as incomplete.
	incomplete bool
	// foreign entries must be left alone.
	foreign []string
	// doomed backups may be deleted by the command under test; each is there whole, or not at all.
	doomed []string
	// curGone: a test took cur away, and no run has repaired it yet.
	curGone bool
}

// newDest initialises a directory below parent and backs src up n times.
func newDest(t testing.TB, parent string, src *tree, n int) *dest {
	t.Helper()
	path := newDir(t, parent)
	d := &dest{path: path, backups: map[string]string{}}
	wantExit(t, run(t, "init", path), 0)
	for range n {
		src.change(t)
		wantExit(t, run(t, "backup", src.dir, path), 0)
		d.held(t, src)
	}
	return d
}

// at is d as it is in a copy of its filesystem.
func (d *dest) at(path string) *dest {
	return &dest{path: path, backups: copyMap(d.backups), incomplete: d.incomplete, foreign: d.foreign}
}

func copyMap(m map[string]string) map[string]string {
	c := map[string]string{}
	maps.Copy(c, m)
	return c
}

// check is what every test of this package ends in: what holds right after a fault, and that the next run, undisturbed,
// puts everything right.
func (d *dest) check(t testing.TB, src *tree) {
	t.Helper()
	d.held(t, src)
	d.recovers(t, src)
}

// held asks what must be so at any instant: every earlier backup is listed and has not changed by a byte, cur names a
// complete backup, and what looks like a backup is whole.
func (d *dest) held(t testing.TB, src *tree) {
	t.Helper()
	list, err := rsbtbackup.List(context.Background(), d.path)
	if errors.Is(err, rsbtbackup.ErrNotInitialized) && len(d.backups) == 0 {
		d.nothingLooksLikeABackup(t, nil)
		return
	}
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	had := names(d.backups)
	listed := d.backupsHeld(t, src, list)
	if !d.curGone {
		d.curIsRight(t, listed, had)
	}
	d.nothingLooksLikeABackup(t, listed)
}

func (d *dest) backupsHeld(t testing.TB, src *tree, list *rsbtbackup.Listing) map[string]rsbtbackup.Snapshot {
	t.Helper()
	listed := map[string]rsbtbackup.Snapshot{}
	for _, b := range list.Backups {
		listed[b.Name] = b
		d.heldOne(t, src, b)
	}
	for _, name := range names(d.backups) {
		if _, ok := listed[name]; ok {
			continue
		}
		if !slices.Contains(d.doomed, name) {
			t.Errorf("backup %s is not listed any more", name)
		}
		delete(d.backups, name)
	}
	return listed
}

func (d *dest) heldOne(t testing.TB, src *tree, b rsbtbackup.Snapshot) {
	t.Helper()
	path := filepath.Join(d.path, b.Name)
	got := testdest.Digest(t, path)
	want, known := d.backups[b.Name]
	switch {
	case !b.ReadOnly:
		t.Errorf("backup %s can be written", b.Name)
	case known && got != want:
		t.Errorf("backup %s has changed", b.Name)
	case !known && b.Status == rsbtbackup.Incomplete && !d.incomplete:
		t.Errorf("backup %s is listed as incomplete (%s)", b.Name, b.RecordError)
	case !known && b.Status == rsbtbackup.Complete:
		if diff := difference(t, src.dir, path); diff != "" {
			t.Errorf("backup %s is listed as complete but differs from the source:\n%s", b.Name, diff)
		}
	}
	d.backups[b.Name] = got
}

// curIsRight allows cur to be absent as long as there was no complete backup.
func (d *dest) curIsRight(t testing.TB, listed map[string]rsbtbackup.Snapshot, had []string) {
	t.Helper()
	target, err := os.Readlink(filepath.Join(d.path, "cur"))
	if errors.Is(err, fs.ErrNotExist) {
		for _, name := range had {
			if listed[name].Status == rsbtbackup.Complete {
				t.Errorf("cur is gone, although %s is complete", name)
			}
		}
		return
	}
	if err != nil {
		t.Errorf("cur: %v", err)
		return
	}
	if b, ok := listed[target]; !ok || b.Status != rsbtbackup.Complete {
		t.Errorf("cur points to %q, which is no complete backup", target)
	}
}

var backupName = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}-\d{2}:\d{2}`)

func (d *dest) nothingLooksLikeABackup(t testing.TB, listed map[string]rsbtbackup.Snapshot) {
	t.Helper()
	for _, name := range testdest.Entries(t, d.path) {
		if _, ok := listed[name]; !ok && backupName.MatchString(name) && !slices.Contains(d.foreign, name) {
			t.Errorf("%s looks like a backup and is none", name)
		}
	}
}

// recovers runs a backup that nothing disturbs. It must need no help, leave no work files, and be equal to the source.
func (d *dest) recovers(t testing.TB, src *tree) {
	t.Helper()
	if _, err := rsbtbackup.List(context.Background(), d.path); errors.Is(err, rsbtbackup.ErrNotInitialized) {
		wantExit(t, run(t, "init", d.path), 0)
	}
	before := len(d.backups)
	d.incomplete, d.curGone = false, false
	// A child of a killed run may live on for a moment, and then has the lock.
	wantExit(t, run(t, "backup", "--lock-wait=10m", src.dir, d.path), 0)
	d.held(t, src)
	if len(d.backups) != before+1 {
		t.Errorf("there were %d backups and after one more run %d", before, len(d.backups))
	}
	d.newestIsCur(t)
	d.isTidy(t)
}

// newestIsCur asks what exit 0 promises.
func (d *dest) newestIsCur(t testing.TB) {
	t.Helper()
	list, err := rsbtbackup.List(context.Background(), d.path)
	testdest.Must(t, err)
	if n := len(list.Backups); n == 0 || !list.Backups[n-1].Current || list.Backups[n-1].Status != rsbtbackup.Complete {
		t.Error("exit 0, but cur does not name the newest backup")
	}
}

// isTidy asks for exactly the entries that belong to DEST.
func (d *dest) isTidy(t testing.TB) {
	t.Helper()
	want := append(names(d.backups), ".log", "cur")
	want = append(want, d.foreign...)
	slices.Sort(want)
	if diff := cmp.Diff(want, testdest.Entries(t, d.path)); diff != "" {
		t.Errorf("entries of DEST (-want +got):\n%s", diff)
	}
	var records []string
	for name := range d.backups {
		records = append(records, name+".json")
	}
	slices.Sort(records)
	if diff := cmp.Diff(records, testdest.Entries(t, filepath.Join(d.path, ".log", "records"))); diff != "" {
		t.Errorf("entries of .log/records (-want +got):\n%s", diff)
	}
	allowed := []string{"activity.log", "activity.log.1", "catalog", "holder.json", "pruned.json", "records", "rsbtbackup", "rsync.json"}
	for _, name := range testdest.Entries(t, filepath.Join(d.path, ".log")) {
		if !slices.Contains(allowed, name) {
			t.Errorf(".log/%s was left behind", name)
		}
	}
}

// difference is what rsync would have to do to make backup equal to source; it is asked only if something differs.
func difference(t testing.TB, source, backup string) string {
	t.Helper()
	if testdest.Same(source, backup) {
		return ""
	}
	cmd := exec.Command("rsync", "-naHAXc", "--delete", "--numeric-ids", "--itemize-changes", source+"/", backup+"/")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("compare: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func names(m map[string]string) []string {
	var list []string
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
