package backup

import (
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// A run that has everything a walk needs, and then lacks one thing after the other.
func TestPlanScan(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	local := rsyncexec.Source{Kind: rsyncexec.Local, Path: "/src"}
	type run struct {
		o    Options
		base facts.Snapshot
		rec  facts.Record
		scan facts.Scan
		plan plan
		src  source.Source
	}
	for _, tt := range []struct {
		name      string
		lacks     func(r *run)
		walk, use bool
	}{
		{"nothing", func(*run) {}, true, true},
		{"asked for", func(r *run) { r.o.Scan = facts.ScanWalk }, true, true},
		{"a full run was asked for", func(r *run) { r.o.Scan = facts.ScanFull }, true, false},
		{"a remote source", func(r *run) { r.src.Spec.Kind = rsyncexec.Shell }, false, false},
		{"contents, as asked", func(r *run) { r.o.Checksum = true }, true, false},
		{"options for rsync", func(r *run) { r.o.RsyncArgs = []string{"-F"} }, true, false},
		{"filter rules", func(r *run) { r.o.Filter = []string{"dir-merge .rules"} }, true, false},
		{"excluded by name", func(r *run) { r.o.Exclude = []string{"cache"} }, true, true},
		{"a base", func(r *run) { r.plan.base = nil }, true, false},
		{"a fresh pending", func(r *run) { r.plan.work = store.WorkResume }, true, false},
		{"the same source", func(r *run) { r.plan.checksum = true }, true, false},
		{"the same mounts", func(r *run) { r.src.Changed = []source.ChangedMount{{}} }, true, false},
		{"anything in the source", func(r *run) { r.src.Empty = true }, true, false},
		{"a record", func(r *run) { r.base.Record = nil }, true, false},
		{"a scan on record", func(r *run) { r.rec.Scan = nil }, true, false},
		{"a catalog", func(r *run) { r.scan.Catalog = "" }, true, false},
		{"statistics", func(r *run) { r.rec.Stats = nil }, true, false},
		{"a complete base", func(r *run) { r.base.Status = facts.Incomplete }, true, false},
		{"an intact base", func(r *run) { r.rec.Verified = &facts.Verification{Result: facts.Damaged} }, true, false},
		{"a base as it was made", func(r *run) { r.base.Touched = true }, true, false},
		{"a scan that missed nothing", func(r *run) { r.scan.Missed = 1 }, true, false},
		{"the tenth run", func(r *run) { r.scan.SinceFull = checkEvery - 1 }, true, false},
		{"the ninth run", func(r *run) { r.scan.SinceFull = checkEvery - 2 }, true, true},
		{"the tenth run, and asked for", func(r *run) { r.scan.SinceFull, r.o.Scan = checkEvery, facts.ScanWalk }, true, true},
		{"a full run within 7 days", func(r *run) { r.scan.LastFull = now.Add(-7 * day) }, true, false},
		{"a full run just within 7 days", func(r *run) { r.scan.LastFull = now.Add(-7*day + time.Second) }, true, true},
		{"a full run in the past", func(r *run) { r.scan.LastFull = now.Add(time.Hour) }, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &run{o: Options{Scan: ScanAuto, Now: now}, src: source.Source{Spec: local}}
			r.scan = facts.Scan{Catalog: "ab", LastFull: now.Add(-day), SinceFull: 1}
			r.rec = facts.Record{Scan: &r.scan, Stats: &rsyncexec.Stats{Files: 1}}
			r.base = facts.Snapshot{Name: "x", Status: facts.Complete, Record: &r.rec}
			r.plan = plan{base: &r.base, work: store.WorkSnapshot}
			tt.lacks(r)
			got := planScan(r.o, &r.plan, &r.src)
			if got.walk != tt.walk || got.use != tt.use || (got.why == "") != tt.use {
				t.Errorf("got %+v, want walk %v, use %v", got, tt.walk, tt.use)
			}
		})
	}
}
