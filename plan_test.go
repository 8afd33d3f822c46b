package rsbtbackup

import (
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

var (
	uuidA = btrfs.UUID{1}
	uuidB = btrfs.UUID{2}
	uuidW = btrfs.UUID{3} // of pending
	here  = instance{BootID: "boot", MountID: 7}
)

func note(phase workPhase, in instance) *workNote {
	return &workNote{Version: 1, WorkUUID: uuidW.String(), Phase: phase, Instance: in, Source: `"/src"`}
}

// TestPlanOfPending is the table of everything a dead run can leave under
// pending, and of what becomes of it.
func TestPlanOfPending(t *testing.T) {
	first := []Snapshot(nil)
	second := []Snapshot{{Name: "2026-11-22-09:00", ID: 300, UUID: uuidA}}
	elsewhere := instance{BootID: "boot before", MountID: 7}
	remounted := instance{BootID: "boot", MountID: 8}
	older := instance{BootID: "boot", SysInode: 17901}
	for _, c := range []struct {
		name     string
		backups  []Snapshot
		pending  pendingState
		now      instance
		work     workAction
		checksum bool
		discard  bool
	}{
		{"nothing there, first backup", first, pendingState{}, here, workCreate, false, false},
		{"nothing there, later backup", second, pendingState{}, here, workSnapshot, false, false},
		{"interrupted first backup", first, pendingState{kind: subvolume, uuid: uuidW, note: note(phaseSynced, here)}, here, workResume, false, false},
		{"interrupted later backup", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseSynced, here)}, here, workResume, false, false},
		{"first backup that died", first, pendingState{kind: subvolume, uuid: uuidW, note: note(phaseTransfer, here)}, here, workResume, true, false},
		{"later backup that died", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseTransfer, here)}, here, workSnapshot, false, true},
		{"interrupted first backup of another source", first, pendingState{kind: subvolume, uuid: uuidW, note: &workNote{Version: 1, WorkUUID: uuidW.String(), Phase: phaseSynced, Instance: here, Source: `"/other"`}}, here, workResume, true, false},
		{"interrupted later backup of another source", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: &workNote{Version: 1, WorkUUID: uuidW.String(), Phase: phaseSynced, Instance: here, Source: `"/other"`}}, here, workSnapshot, false, true},
		{"poisoned", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phasePoisoned, here)}, here, workSnapshot, false, true},
		{"poisoned before a reboot", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phasePoisoned, elsewhere)}, here, workSnapshot, false, true},
		{"first backup through a reboot", first, pendingState{kind: subvolume, uuid: uuidW, note: note(phaseSynced, elsewhere)}, here, workResume, true, false},
		{"first backup through a remount", first, pendingState{kind: subvolume, uuid: uuidW, note: note(phaseSynced, remounted)}, here, workResume, true, false},
		{"first backup, kernel tells no instance", first, pendingState{kind: subvolume, uuid: uuidW, note: note(phaseSynced, instance{})}, instance{}, workResume, true, false},
		{"later backup, kernel without unique mount ids", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseSynced, older)}, older, workResume, false, false},
		{"later backup, such a kernel, remounted", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseSynced, older)}, instance{BootID: "boot", SysInode: 18001}, workSnapshot, false, true},
		{"later backup, kernel exchanged", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseSynced, older)}, here, workSnapshot, false, true},
		{"first backup by a program that noted nothing", first, pendingState{kind: subvolume, uuid: uuidW}, here, workResume, true, false},
		{"later backup through a reboot", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseSynced, elsewhere)}, here, workSnapshot, false, true},
		{"note about another pending", second, pendingState{kind: subvolume, uuid: uuidB, parentUUID: uuidA, note: note(phaseTransfer, here)}, here, workSnapshot, false, true},
		{"made from another backup", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidB, note: note(phaseTransfer, here)}, here, workSnapshot, false, true},
		{"made from no backup", second, pendingState{kind: subvolume, uuid: uuidW, note: note(phaseTransfer, here)}, here, workSnapshot, false, true},
		{"made from a backup that is gone", first, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseTransfer, here)}, here, workCreate, false, true},
		{"already published", []Snapshot{{Name: "2026-11-22-09:00", UUID: uuidA, ParentUUID: uuidW}}, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseSynced, here)}, here, workSnapshot, false, true},
		{"read-only", second, pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, readOnly: true, note: note(phaseTransfer, here)}, here, workSnapshot, false, true},
		{"a plain directory", second, pendingState{kind: directory}, here, workSnapshot, false, true},
		{"a symlink", second, pendingState{kind: symlink}, here, workSnapshot, false, true},
		{"a file", first, pendingState{kind: other}, here, workCreate, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := &state{backups: c.backups, pending: c.pending, instance: c.now}
			p := makePlan(st, &source{shown: "/src"}, time.Date(2026, 11, 23, 9, 0, 27, 0, berlin), false)
			if p.work != c.work || p.checksum != c.checksum || p.discard != c.discard {
				t.Errorf("work %d, checksum %v, discard %v; want %d, %v, %v (%s)", p.work, p.checksum, p.discard, c.work, c.checksum, c.discard, p.why)
			}
			if p.doubtful != (c.work == workResume && c.checksum && !strings.Contains(c.name, "another source")) {
				t.Errorf("doubtful %v", p.doubtful)
			}
			if (p.why == "") != (c.pending.kind == absent) {
				t.Errorf("why = %q", p.why)
			}
		})
	}
}

// A reboot is not told of where nobody knows of one.
func TestPlanSaysWhatIsNotKnown(t *testing.T) {
	pending := pendingState{kind: subvolume, uuid: uuidW, note: note(phaseSynced, instance{BootID: "boot"})}
	if _, why := judgePending(&pending, instance{BootID: "boot"}, nil); !strings.HasPrefix(why, "the kernel does not tell whether") {
		t.Errorf("why = %q", why)
	}
}

// Otherwise a run that was stopped would hide its deletions from the next.
func TestPlanCountsDeletionsFromTheBase(t *testing.T) {
	pending := pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidA, note: note(phaseSynced, here)}
	st := &state{backups: []Snapshot{{Name: "2026-11-22-09:00", UUID: uuidA}}, pending: pending, instance: here}
	for countDeletes, want := range map[bool]workAction{false: workResume, true: workSnapshot} {
		if p := makePlan(st, &source{shown: "/src"}, time.Now(), countDeletes); p.work != want {
			t.Errorf("counting %v: work %d, want %d", countDeletes, p.work, want)
		}
	}
}

func TestPlanComparesContentsWhenTheSourceIsAnother(t *testing.T) {
	st := &state{backups: []Snapshot{{Name: "2026-11-22-09:00", Record: &Record{Source: "hostA:/etc"}}}}
	for shown, want := range map[string]bool{"hostA:/etc": false, "hostB:/etc": true} {
		if p := makePlan(st, &source{shown: shown}, time.Now(), false); p.checksum != want {
			t.Errorf("source %s: checksum %v, want %v", shown, p.checksum, want)
		}
	}
}

func TestPlanComparesContentsWhenAnotherDiskIsAtTheSamePath(t *testing.T) {
	st := &state{backups: []Snapshot{{Name: "2026-11-22-09:00", Record: &Record{Source: "/src", SourceFS: &SourceIdentity{FSID: "a"}}}}}
	for fsid, want := range map[string]bool{"a": false, "b": true} {
		src := &source{shown: "/src", identity: &SourceIdentity{FSID: fsid}}
		if p := makePlan(st, src, time.Now(), false); p.checksum != want {
			t.Errorf("filesystem %s: checksum %v, want %v", fsid, p.checksum, want)
		}
	}
}

func TestPlanNamesAroundWhatIsThere(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 27, 0, berlin)
	st := &state{backups: []Snapshot{{Name: "2026-11-23-09:00"}}, foreign: []string{"2026-11-23-09:00:27"}}
	p := makePlan(st, &source{}, now, false)
	if p.naming.name != "2026-11-23-09:00:27.1" {
		t.Errorf("name = %s", p.naming.name)
	}
	p.naming = p.naming.next()
	if p.naming.name != "2026-11-23-09:00:27.2" {
		t.Errorf("next name = %s", p.naming.name)
	}
	hidden := []string{"2026-11-23-09:00:12"}
	if p := makePlan(&state{foreign: hidden, hidden: hidden}, &source{}, now, false); p.naming.name != "2026-11-23-09:00:27" {
		t.Errorf("name beside one that is hidden = %s", p.naming.name)
	}
}

func TestRsyncOptions(t *testing.T) {
	base := &Snapshot{Name: "2026-11-22-09:00", Record: &Record{Stats: &rsyncexec.Stats{Files: 1000}}}
	src := &source{spec: rsyncexec.Source{Kind: rsyncexec.Local, Path: "/src"}, shown: "/src"}
	inside := &source{spec: src.spec, shown: "/src", overlap: destInside, views: []destView{{rel: "back*ups/[1]"}, {rel: "again"}}}
	remote := &source{spec: rsyncexec.Source{Kind: rsyncexec.Shell, Host: "h", Path: "/src"}, shown: "h:/src"}
	for _, c := range []struct {
		name string
		o    BackupOptions
		p    plan
		src  *source
		want string // in the command line
		not  string
	}{
		{"a first backup is written in place, whole", BackupOptions{}, plan{}, src, "--inplace --whole-file", "--no-whole-file"},
		{"a resumed first one by blocks, for the file it was at", BackupOptions{}, plan{work: workResume}, src, "--inplace --no-whole-file", "--whole-file "},
		{"later ones by blocks", BackupOptions{}, plan{base: base}, src, "--inplace --no-whole-file", "--checksum"},
		{"whole files", BackupOptions{WholeFiles: true}, plan{base: base}, src, "--no-inplace", "--inplace "},
		{"what can not be trusted is compared", BackupOptions{}, plan{checksum: true}, src, "--checksum", "--trust"},
		{"deletions are counted against the last backup", BackupOptions{MaxDeletePercent: 5}, plan{base: base}, src, "--max-delete=50", ""},
		{"unless forced", BackupOptions{MaxDeletePercent: 5, Force: true}, plan{base: base}, src, "--delete", "--max-delete"},
		{"a silent peer is given up", BackupOptions{}, plan{base: base}, remote, "--timeout=1800", "--checksum"},
		{"a local one is not", BackupOptions{}, plan{base: base}, src, "--delete", "--timeout"},
		{"nor one that computes checksums", BackupOptions{}, plan{base: base, checksum: true}, remote, "--checksum", "--timeout"},
		{"nor one that was told to", BackupOptions{RsyncArgs: []string{"-zc"}}, plan{base: base}, remote, "-zc", "--timeout"},
		{"unless a time was given", BackupOptions{Timeout: time.Minute}, plan{checksum: true}, remote, "--timeout=60", ""},
		{"DEST inside SRC is left out", BackupOptions{}, plan{}, inside, `- /back\*ups/\[1]`, ""},
		{"its mount point stays if it is another filesystem", BackupOptions{OneFileSystem: true}, plan{}, inside, "--one-file-system", "back"},
		{"by each path to it", BackupOptions{Filter: []string{"!"}}, plan{}, inside, `--filter=- /again -- `, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			argv, err := rsyncOptions(&c.o, &c.p, c.src, 0).Argv()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(argv, " ")
			if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("argv %s\nwant %q, not %q", got, c.want, c.not)
			}
		})
	}
}

func FuzzParseWorkNote(f *testing.F) {
	f.Add([]byte(`{"version":1,"work_uuid":"x","phase":"transfer","instance":{"boot_id":"b","mount_id":1}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := parseWorkNote(data)
		if n != nil && n.Version != 1 {
			t.Errorf("accepted version %d", n.Version)
		}
		// Whatever the note says, it can not make a foreign pending trusted.
		p := pendingState{kind: subvolume, uuid: uuidW, parentUUID: uuidB, note: n}
		if trust, _ := judgePending(&p, here, &Snapshot{UUID: uuidA}); trust != trustNot {
			t.Errorf("trusts a pending made from another backup: %s", data)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"2026-11-23-09:00","status":"complete","rsync_exit":0,"pin":{"at":"2026-11-23T09:00:00Z"}}`))
	f.Add([]byte(`{"version":1,"status":"done"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err == nil && (r == nil || r.Status != Complete && r.Status != Incomplete) {
			t.Errorf("accepted %s", data)
		}
	})
}
