// The checks: each turns what was read into a level and a line of text. All are pure.

package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// newestUndamaged also counts a complete backup that only the caller cannot open.
func newestUndamaged(st *store.State) *facts.Snapshot {
	return store.NewestComplete(slices.DeleteFunc(st.All(), func(b facts.Snapshot) bool { return btrfs.IsDamage(b.WhyNot) }))
}

func checkBackup(in *checkInput, r *Report) {
	const name = "backup"
	b := newestUndamaged(in.state)
	if b == nil {
		r.add(name, facts.CheckFail, "there is no complete backup")
		return
	}
	old, is := ageOf(b, in.now)
	all := in.state.All()
	switch newest := all[len(all)-1]; {
	case old > in.maxAge:
		r.add(name, facts.CheckFail, "the newest complete backup, %s, %s, more than %s", b.Name, is, say.ShortAge(in.maxAge))
	case old < -time.Hour:
		r.add(name, facts.CheckWarn, "the time of %s is in the future: check the clock", b.Name)
	case newest.ID != b.ID && btrfs.IsDamage(newest.WhyNot):
		r.add(name, facts.CheckWarn, "%s %s; the newest, %s, is damaged", b.Name, is, newest.Name)
	case newest.ID != b.ID:
		r.add(name, facts.CheckWarn, "%s %s; the newest, %s, is incomplete", b.Name, is, newest.Name)
	default:
		r.add(name, facts.CheckOK, "%s %s%s", b.Name, is, leftOut(b))
	}
}

// leftOut names what --one-file-system left out of the backup.
func leftOut(b *facts.Snapshot) string {
	if b.Record == nil || len(b.Record.LeftOut) == 0 {
		return ""
	}
	return "; --one-file-system leaves out " + say.QuoteSome(b.Record.LeftOut)
}

func checkCur(in *checkInput, r *Report) {
	const name = store.CurName
	b := newestUndamaged(in.state)
	level := facts.CheckFail
	if in.running != nil {
		level = facts.CheckWarn // the run may be between two steps
	}
	switch st := in.state; {
	case st.CurHidden():
		r.add(name, facts.CheckWarn, "it names %s, on which something is mounted", st.CurLink)
	case b == nil && st.Cur == store.Absent:
		r.add(name, facts.CheckOK, "absent, because there is no complete backup")
	case b == nil:
		r.add(name, level, "it exists although there is no complete backup")
	case b.Current:
		r.add(name, facts.CheckOK, "it names %s", b.Name)
	case st.Cur == store.Absent:
		r.add(name, level, "it is missing; it should name %s", b.Name)
	case st.Cur != store.Symlink:
		r.add(name, level, "it is a %s, not a symlink", st.Cur)
	default:
		r.add(name, level, "it names %q; it should name %s", st.CurLink, b.Name)
	}
}

func checkPending(in *checkInput, r *Report) {
	const name = store.PendingName
	st := in.state
	switch {
	case in.running != nil && in.now.Sub(in.running.Since) > in.maxAge:
		r.add(name, facts.CheckWarn, "%s (pid %d) has been running for %s", in.running.Verb, in.running.PID, say.ShortAge(in.now.Sub(in.running.Since)))
	case in.running != nil:
		r.add(name, facts.CheckOK, "%s (pid %d) is running", in.running.Verb, in.running.PID)
	case st.LostPending:
		r.add(name, facts.CheckWarn, "an unfinished backup is damaged; it is ignored and stays")
	case st.Pending.Kind == store.Absent:
		r.add(name, facts.CheckOK, "there is none")
	case st.Pending.Kind != store.Subvolume:
		r.add(name, facts.CheckWarn, "it is a %s; the next backup moves it aside", st.Pending.Kind)
	case st.Pending.PublishedAs(st.Newest()):
		r.add(name, facts.CheckOK, "%s was published from it; the next run removes it", st.Newest().Name)
	case in.now.Sub(in.pendingSince) > in.maxAge:
		r.add(name, facts.CheckFail, "a backup was not finished, and no run has finished it for %s", say.ShortAge(in.now.Sub(in.pendingSince)))
	default:
		r.add(name, facts.CheckWarn, "a backup was not finished; the next run resumes it, or starts from the beginning if that is safer")
	}
}

// checkRecords tolerates a record without a backup while a run is active: it writes the record before it publishes.
func checkRecords(in *checkInput, r *Report) {
	const name = "records"
	var unreadable, lost, writable []string
	without := 0
	for _, b := range in.state.Backups {
		switch {
		case b.RecordError != "":
			unreadable = append(unreadable, b.Name)
		case store.NamedByUs(b.Name) && (b.Record == nil || b.Record.Started.IsZero()): // pin and verify write only a part of a record
			lost = append(lost, b.Name)
		case b.Record == nil:
			without++
		}
		if !b.ReadOnly {
			writable = append(writable, b.Name)
		}
	}
	switch st := in.state; {
	case len(unreadable) > 0:
		r.add(name, facts.CheckFail, "%s missing or not readable: %s", say.Plural(len(unreadable), "record"), say.SomeNames(unreadable))
	case len(lost) > 0:
		r.add(name, facts.CheckWarn, "%s missing: %s; it is unknown whether the backup is complete", say.Plural(len(lost), "record"), say.SomeNames(lost))
	case len(st.Orphans) > 0 && in.running == nil:
		r.add(name, facts.CheckWarn, "%s without a backup: %s; the next run removes them", say.Plural(len(st.Orphans), "record"), say.SomeNames(st.Orphans))
	case len(st.Trash) > 0 && in.running == nil:
		r.add(name, facts.CheckWarn, "a deletion was interrupted: %s; the next run finishes it", say.SomeNames(st.Trash))
	case len(writable) > 0:
		r.add(name, facts.CheckWarn, "%s not read-only: %s", say.Plural(len(writable), "backup"), say.SomeNames(writable))
	case without > 0:
		r.add(name, facts.CheckOK, "%s, %d without a record: made by another program", say.Plural(len(st.Backups), "backup"), without)
	default:
		r.add(name, facts.CheckOK, "%s, each with its record", say.Plural(len(st.Backups), "backup"))
	}
}

// lostOf splits the backups that cannot be opened into damaged ones and those this user has no rights to, without those
// whose damage is accepted.
func lostOf(broken []facts.Snapshot, accepted []string) (lost, closed []string) {
	for _, b := range broken {
		if slices.Contains(accepted, b.Name) {
			continue
		}
		if btrfs.IsDamage(b.WhyNot) {
			lost = append(lost, b.Name)
		} else {
			closed = append(closed, b.Name)
		}
	}
	return lost, closed
}

func checkVerified(in *checkInput, r *Report) {
	const name = "verified"
	var damaged, accepted, unsure []string
	for _, b := range in.state.All() {
		if b.Unreadable == "" && (b.Record == nil || b.Record.Verified == nil || b.Record.Verified.Result == facts.Clean) {
			continue
		}
		switch {
		case slices.Contains(in.accepted, b.Name):
			accepted = append(accepted, b.Name)
		case b.Unreadable != "":
		case b.Record.Verified.Result == facts.Damaged:
			damaged = append(damaged, b.Name)
		case b.Record.Verified.Result == facts.NotVerified:
			unsure = append(unsure, b.Name)
		}
	}
	i := store.LastClean(in.state.Backups)
	lost, closed := lostOf(in.state.Broken, in.accepted)
	switch {
	case len(lost) > 0:
		r.add(name, facts.CheckFail, "%s damaged, nothing in it can be read: %s", say.Plural(len(lost), "backup"), say.SomeNames(lost))
	case len(closed) > 0:
		r.add(name, facts.CheckWarn, "%s cannot be opened by this user: %s", say.Plural(len(closed), "backup"), say.SomeNames(closed))
	case len(damaged) > 0:
		r.add(name, facts.CheckFail, "%s damaged when last read: %s", say.Plural(len(damaged), "backup"), say.SomeNames(damaged))
	case len(unsure) > 0:
		r.add(name, facts.CheckWarn, "%s could not be verified, because data has no checksums: %s", say.Plural(len(unsure), "backup"), say.SomeNames(unsure))
	case len(accepted) > 0:
		r.add(name, facts.CheckOK, "damage accepted in %s", say.SomeNames(accepted))
	case i < 0:
		r.add(name, facts.CheckOK, "no backup has been verified")
	default:
		b := in.state.Backups[i]
		r.add(name, facts.CheckOK, "%s was clean %s ago", b.Name, say.ShortAge(in.now.Sub(b.Record.Verified.At)))
	}
}

func checkSpace(in *checkInput, r *Report) {
	level := facts.CheckOK
	twice := facts.MinFree{Bytes: 2 * in.minFree.Bytes, Percent: 2 * in.minFree.Percent}
	switch {
	case !space.Reached(in.minFree, in.free, in.total):
		level = facts.CheckFail
	case !space.Reached(twice, in.free, in.total):
		level = facts.CheckWarn
	}
	text := fmt.Sprintf("%s of %s free (%.0f %%)", humanize.Bytes(in.free), humanize.Bytes(in.total), say.Percent(in.free, in.total))
	switch level {
	case facts.CheckFail:
		text += fmt.Sprintf(", less than %v", in.minFree)
	case facts.CheckWarn:
		text += fmt.Sprintf(", less than twice %v", in.minFree)
	}
	r.add("space", level, "%s", text)
}

// checkMetadata: a filesystem without free metadata space refuses every change, even if there is free space for data.
func checkMetadata(in *checkInput, r *Report) {
	used, room := metadataRoom(in.spaces, in.devices)
	level := facts.CheckOK
	switch {
	case room < in.minMetadata:
		level = facts.CheckFail
	case room < 2*in.minMetadata:
		level = facts.CheckWarn
	}
	text := fmt.Sprintf("%s used, %s available", humanize.Bytes(used), humanize.Bytes(room))
	switch level {
	case facts.CheckFail:
		text += ", less than " + humanize.Bytes(in.minMetadata)
	case facts.CheckWarn:
		text += ", less than twice " + humanize.Bytes(in.minMetadata)
	}
	r.add("metadata", level, "%s", text)
}

// metadataRoom is the free space in the block groups for metadata, without the kernel's reserve, plus the unallocated
// space divided by the number of copies of metadata.
func metadataRoom(spaces []btrfs.Space, devices []btrfs.Device) (used, room uint64) {
	var free, reserve, unallocated uint64
	copies := uint64(1)
	for _, s := range spaces {
		switch s.Kind {
		case "metadata", "data+metadata":
			used += s.Used
			free += s.Total - min(s.Used, s.Total)
			copies = max(copies, copiesOf(s.Profile))
		case "reserve":
			reserve += s.Total
		}
	}
	for _, d := range devices {
		unallocated += d.Total - min(d.Used, d.Total)
	}
	return used, free - min(reserve, free) + unallocated/copies
}

func copiesOf(profile string) uint64 {
	switch profile {
	case "dup", "raid1", "raid10":
		return 2
	case "raid1c3":
		return 3
	case "raid1c4":
		return 4
	}
	return 1
}

func checkDevices(in *checkInput, r *Report) {
	const name = "devices"
	if in.devicesErr != nil {
		r.add(name, facts.CheckFail, "their error counters cannot be read: %v", in.devicesErr)
		return
	}
	var bad []string
	for _, d := range in.devices {
		if d.Path == "" {
			bad = append(bad, fmt.Sprintf("device %d is missing", d.ID))
		}
		if text := deviceErrors(d); text != "" {
			bad = append(bad, d.Path+": "+text)
		}
	}
	if len(bad) > 0 {
		r.add(name, facts.CheckFail, "%s (to reset them, once the cause is known, with btrfs-progs: btrfs device stats --reset %s)", strings.Join(bad, "; "), in.dest)
		return
	}
	r.add(name, facts.CheckOK, "%s, no errors counted", say.Plural(len(in.devices), "device"))
}

func deviceErrors(d btrfs.Device) string {
	var parts []string
	for _, c := range []struct {
		n    uint64
		kind string
	}{
		{d.WriteErrors, "write"}, {d.ReadErrors, "read"}, {d.FlushErrors, "flush"},
		{d.CorruptionErrors, "corruption"}, {d.GenerationErrors, "generation"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s errors", c.n, c.kind))
		}
	}
	return strings.Join(parts, ", ")
}

// checkMount distinguishes a read-only mount from a filesystem that went read-only after an error.
func checkMount(in *checkInput, r *Report) {
	const name = "mount"
	switch m := in.mount; {
	case m.SuperReadOnly && !m.ReadOnly:
		r.add(name, facts.CheckFail, "the filesystem became read-only after an error; see dmesg")
	case m.SuperReadOnly || m.ReadOnly:
		r.add(name, facts.CheckWarn, "mounted read-only: no backup can be made")
	case len(in.state.Hidden) > 0:
		r.add(name, facts.CheckWarn, "something is mounted on %s: the hidden backup is neither read nor deleted", say.SomeNames(in.state.Hidden))
	case in.unsummed != "":
		r.add(name, facts.CheckWarn, "%s", in.unsummed)
	default:
		r.add(name, facts.CheckOK, "writable")
	}
}

func checkLog(in *checkInput, r *Report) {
	const name = "log"
	const most = 2_000_000 // it is rotated past 1 MB
	switch l := in.log; {
	case l.Kind == store.Absent:
		r.add(name, facts.CheckOK, "nothing has been logged yet")
	case l.Kind != store.Other || !l.Regular:
		r.add(name, facts.CheckFail, "%s is not a regular file", store.LogFileName)
	case slices.Contains([]error{unix.EACCES, unix.EPERM}, l.Access):
		r.add(name, facts.CheckWarn, "%s is not writable for this user", store.LogFileName)
	case l.Access != nil && l.Access != unix.EROFS:
		r.add(name, facts.CheckFail, "%s: %v", store.LogFileName, l.Access)
	case l.Size > most:
		r.add(name, facts.CheckWarn, "%s has %s and is not rotated", store.LogFileName, humanize.Bytes(uint64(l.Size)))
	case in.state.LogMode&0o077 != 0:
		r.add(name, facts.CheckWarn, "%s has mode %04o: other users can read it", store.LogDirName, in.state.LogMode)
	default:
		r.add(name, facts.CheckOK, "%s of at most %s", humanize.Bytes(uint64(l.Size)), humanize.Bytes(1_000_000))
	}
}
