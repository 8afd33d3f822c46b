package backup

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

var (
	uuidA = btrfs.UUID{1}
	uuidB = btrfs.UUID{2}
	uuidW = btrfs.UUID{3} // of pending
	here  = mounts.Instance{BootID: "boot", MountID: 7}
)

func note(phase store.WorkPhase, in mounts.Instance) *store.WorkNote {
	return &store.WorkNote{Version: 1, WorkUUID: uuidW.String(), Phase: phase, Instance: in, Source: `"/src"`}
}

// TestPlanOfPending is the table of everything a dead run can leave under pending, and of what happens to it.
var planZone = time.FixedZone("CET", 3600)

func TestPlanOfPending(t *testing.T) {
	first := []facts.Snapshot(nil)
	second := []facts.Snapshot{{Name: "2026-11-22-09:00", ID: 300, UUID: uuidA}}
	elsewhere := mounts.Instance{BootID: "boot before", MountID: 7}
	remounted := mounts.Instance{BootID: "boot", MountID: 8}
	older := mounts.Instance{BootID: "boot", SysInode: 17901}
	for _, c := range []struct {
		name     string
		backups  []facts.Snapshot
		pending  store.PendingState
		now      mounts.Instance
		work     store.WorkAction
		checksum bool
		discard  bool
	}{
		{"nothing there, first backup", first, store.PendingState{}, here, store.WorkCreate, false, false},
		{"nothing there, later backup", second, store.PendingState{}, here, store.WorkSnapshot, false, false},
		{"interrupted first backup", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: note(store.PhaseSynced, here)}, here, store.WorkResume, false, false},
		{"interrupted later backup", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseSynced, here)}, here, store.WorkResume, false, false},
		{"first backup that died", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: note(store.PhaseTransfer, here)}, here, store.WorkResume, true, false},
		{"later backup that died", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseTransfer, here)}, here, store.WorkSnapshot, false, true},
		{"interrupted first backup of another source", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: &store.WorkNote{Version: 1, WorkUUID: uuidW.String(), Phase: store.PhaseSynced, Instance: here, Source: `"/other"`}}, here, store.WorkResume, true, false},
		{"interrupted later backup of another source", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: &store.WorkNote{Version: 1, WorkUUID: uuidW.String(), Phase: store.PhaseSynced, Instance: here, Source: `"/other"`}}, here, store.WorkSnapshot, false, true},
		{"poisoned", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhasePoisoned, here)}, here, store.WorkSnapshot, false, true},
		{"poisoned before a reboot", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhasePoisoned, elsewhere)}, here, store.WorkSnapshot, false, true},
		{"first backup through a reboot", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: note(store.PhaseSynced, elsewhere)}, here, store.WorkResume, true, false},
		{"first backup through a remount", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: note(store.PhaseSynced, remounted)}, here, store.WorkResume, true, false},
		{"first backup, kernel tells no instance", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: note(store.PhaseSynced, mounts.Instance{})}, mounts.Instance{}, store.WorkResume, true, false},
		{"later backup, kernel without unique mount ids", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseSynced, older)}, older, store.WorkResume, false, false},
		{"later backup, such a kernel, remounted", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseSynced, older)}, mounts.Instance{BootID: "boot", SysInode: 18001}, store.WorkSnapshot, false, true},
		{"later backup, kernel exchanged", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseSynced, older)}, here, store.WorkSnapshot, false, true},
		{"first backup by a program that noted nothing", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW}, here, store.WorkResume, true, false},
		{"later backup through a reboot", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseSynced, elsewhere)}, here, store.WorkSnapshot, false, true},
		{"note about another pending", second, store.PendingState{Kind: store.Subvolume, UUID: uuidB, ParentUUID: uuidA, Note: note(store.PhaseTransfer, here)}, here, store.WorkSnapshot, false, true},
		{"made from another backup", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidB, Note: note(store.PhaseTransfer, here)}, here, store.WorkSnapshot, false, true},
		{"made from no backup", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: note(store.PhaseTransfer, here)}, here, store.WorkSnapshot, false, true},
		{"made from a backup that is gone", first, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseTransfer, here)}, here, store.WorkCreate, false, true},
		{"already published", []facts.Snapshot{{Name: "2026-11-22-09:00", UUID: uuidA, ParentUUID: uuidW}}, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseSynced, here)}, here, store.WorkSnapshot, false, true},
		{"read-only", second, store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, ReadOnly: true, Note: note(store.PhaseTransfer, here)}, here, store.WorkSnapshot, false, true},
		{"a plain directory", second, store.PendingState{Kind: store.Directory}, here, store.WorkSnapshot, false, true},
		{"a symlink", second, store.PendingState{Kind: store.Symlink}, here, store.WorkSnapshot, false, true},
		{"a file", first, store.PendingState{Kind: store.Other}, here, store.WorkCreate, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := &store.State{Backups: c.backups, Pending: c.pending, Instance: c.now}
			p := makePlan(st, &source.Source{Shown: "/src"}, time.Date(2026, 11, 23, 9, 0, 27, 0, planZone), wishes{})
			if p.work != c.work || p.checksum != c.checksum || p.discard != c.discard {
				t.Errorf("work %d, checksum %v, discard %v; want %d, %v, %v (%s)", p.work, p.checksum, p.discard, c.work, c.checksum, c.discard, p.why)
			}
			if p.doubtful != (c.work == store.WorkResume && c.checksum && !strings.Contains(c.name, "another source")) {
				t.Errorf("doubtful %v", p.doubtful)
			}
			if (p.why == "") != (c.pending.Kind == store.Absent) {
				t.Errorf("why = %q", p.why)
			}
		})
	}
}

// The message does not mention a reboot if it is not known.
func TestPlanSaysWhatIsNotKnown(t *testing.T) {
	pending := store.PendingState{Kind: store.Subvolume, UUID: uuidW, Note: note(store.PhaseSynced, mounts.Instance{BootID: "boot"})}
	if _, why := judgePending(&pending, mounts.Instance{BootID: "boot"}, nil); !strings.HasPrefix(why, "the kernel does not tell whether") {
		t.Errorf("why = %q", why)
	}
}

// Otherwise a run that was stopped would hide its deletions from the next.
func TestPlanCountsDeletionsFromTheBase(t *testing.T) {
	pending := store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidA, Note: note(store.PhaseSynced, here)}
	st := &store.State{Backups: []facts.Snapshot{{Name: "2026-11-22-09:00", UUID: uuidA}}, Pending: pending, Instance: here}
	for percent, want := range map[int]store.WorkAction{0: store.WorkResume, 1: store.WorkSnapshot} {
		if p := makePlan(st, &source.Source{Shown: "/src"}, time.Now(), wishes{maxDeletePercent: percent}); p.work != want {
			t.Errorf("at most %d %%: work %d, want %d", percent, p.work, want)
		}
	}
}

func TestPlanComparesContentsWhenTheSourceIsAnother(t *testing.T) {
	st := &store.State{Backups: []facts.Snapshot{{Name: "2026-11-22-09:00", Record: &facts.Record{Source: "hostA:/etc"}}}}
	for shown, want := range map[string]bool{"hostA:/etc": false, "hostB:/etc": true} {
		if p := makePlan(st, &source.Source{Shown: shown}, time.Now(), wishes{}); p.checksum != want {
			t.Errorf("source %s: checksum %v, want %v", shown, p.checksum, want)
		}
	}
}

func TestPlanComparesContentsWhenAnotherDiskIsAtTheSamePath(t *testing.T) {
	st := &store.State{Backups: []facts.Snapshot{{Name: "2026-11-22-09:00", Record: &facts.Record{Source: "/src", SourceFS: &facts.SourceIdentity{FSID: "a"}}}}}
	for fsid, want := range map[string]bool{"a": false, "b": true} {
		src := &source.Source{Shown: "/src", Identity: &facts.SourceIdentity{FSID: fsid}}
		if p := makePlan(st, src, time.Now(), wishes{}); p.checksum != want {
			t.Errorf("filesystem %s: checksum %v, want %v", fsid, p.checksum, want)
		}
	}
}

func TestPlanNamesAroundWhatIsThere(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 27, 0, planZone)
	st := &store.State{Backups: []facts.Snapshot{{Name: "2026-11-23-09:00"}}, Foreign: []string{"2026-11-23-09:00:27"}}
	p := makePlan(st, &source.Source{}, now, wishes{})
	if p.naming.Name != "2026-11-23-09:00:27.1" {
		t.Errorf("name = %s", p.naming.Name)
	}
	p.naming = p.naming.Next()
	if p.naming.Name != "2026-11-23-09:00:27.2" {
		t.Errorf("next name = %s", p.naming.Name)
	}
	hidden := []string{"2026-11-23-09:00:12"}
	if p := makePlan(&store.State{Foreign: hidden, Hidden: hidden}, &source.Source{}, now, wishes{}); p.naming.Name != "2026-11-23-09:00:27" {
		t.Errorf("name beside one that is hidden = %s", p.naming.Name)
	}
}

// FuzzJudgePending: no note can make a foreign pending trusted.
func FuzzJudgePending(f *testing.F) {
	f.Add(uuidW.String(), "transfer", "b", uint64(1))
	f.Add(uuidW.String(), string(store.PhaseSynced), here.BootID, here.MountID)
	f.Fuzz(func(t *testing.T, work, phase, boot string, mount uint64) {
		n := &store.WorkNote{Version: 1, WorkUUID: work, Phase: store.WorkPhase(phase), Instance: mounts.Instance{BootID: boot, MountID: mount}}
		p := store.PendingState{Kind: store.Subvolume, UUID: uuidW, ParentUUID: uuidB, Note: n}
		if trust, _ := judgePending(&p, here, &facts.Snapshot{UUID: uuidA}); trust != trustNot {
			t.Errorf("trusts a pending made from another backup: %+v", n)
		}
	})
}

func TestHowManyFilesMayBeDeleted(t *testing.T) {
	src := &source.Source{Shown: "/src", Identity: &facts.SourceIdentity{FSID: "a"}}
	same := &facts.Snapshot{Record: &facts.Record{Source: "/src", SourceFS: &facts.SourceIdentity{FSID: "a"}}}
	elsewhere := &facts.Snapshot{Record: &facts.Record{Source: "/other"}}
	for _, c := range []struct {
		name   string
		w      wishes
		newest *facts.Snapshot
		want   int
	}{
		{"all", wishes{}, same, 0},
		{"all of a first backup", wishes{}, nil, 0},
		{"as many as the user says", wishes{maxDeletePercent: 5}, same, 5},
		{"half of another source's", wishes{}, elsewhere, otherSourceDeletes},
		{"the user knows better", wishes{maxDeletePercent: 80}, elsewhere, 80},
		{"all, by force", wishes{maxDeletePercent: 5, force: true}, elsewhere, 0},
	} {
		if got := c.w.maxDelete(c.newest, src); got != c.want {
			t.Errorf("%s: %d %%, want %d", c.name, got, c.want)
		}
	}
}

// TestPlanSaysWhatHappensToPending: what is out of the ordinary is a warning.
func TestPlanSaysWhatHappensToPending(t *testing.T) {
	for _, c := range []struct {
		p     plan
		text  string
		level slog.Level
	}{
		{plan{why: "w", discard: true}, "an unfinished backup is removed: w", slog.LevelWarn},
		{plan{why: "w", checksum: true}, "an unfinished backup is resumed, comparing contents: w", slog.LevelWarn},
		{plan{why: "w"}, "an unfinished backup is resumed: w", slog.LevelInfo},
	} {
		if c.p.text() != c.text || c.p.level() != c.level {
			t.Errorf("%s at %v, want %s at %v", c.p.text(), c.p.level(), c.text, c.level)
		}
	}
}

// TestPlanComparesADryRun with what a backup would go on from.
func TestPlanComparesADryRun(t *testing.T) {
	base := &facts.Snapshot{Name: "base"}
	for _, c := range []struct {
		name, want string
		p          plan
	}{
		{"resumed", "PENDING", plan{work: store.WorkResume, base: base}},
		{"incremental", "base", plan{work: store.WorkSnapshot, base: base}},
		{"first", "new", plan{naming: store.Naming{Name: "new"}}},
	} {
		if got := c.p.against("PENDING"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if first := (&plan{}).baseName(); first != "" {
		t.Errorf("base of a first backup: %q", first)
	}
}

// TestPlanStartsAnewOverDamagedMetadata: a snapshot of it would have the damage as well.
func TestPlanStartsAnewOverDamagedMetadata(t *testing.T) {
	st := &store.State{Backups: []facts.Snapshot{{Name: "a", Record: &facts.Record{Verified: &facts.Verification{Result: facts.Damaged, Metadata: true}}}}}
	if p := makePlan(st, &source.Source{}, time.Now(), wishes{}); p.base != nil || p.work != store.WorkCreate {
		t.Errorf("base %v, work %d", p.base, p.work)
	}
}
