// The single checks: from what was read of DEST to a verdict and a line for
// a person. All are pure.

package rsbtbackup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// newestUndamaged also counts a complete backup that is merely not for the caller.
func newestUndamaged(st *state) *Snapshot {
	return newestComplete(slices.DeleteFunc(st.all(), func(b Snapshot) bool { return btrfs.IsDamage(b.WhyNot) }))
}

func checkBackup(in *checkInput, r *CheckReport) {
	const name = "backup"
	b := newestUndamaged(in.state)
	if b == nil {
		r.add(name, CheckFail, "there is no complete backup")
		return
	}
	at := b.Time
	if b.Record != nil && !b.Record.Ended.IsZero() {
		at = b.Record.Ended
	}
	old := in.now.Sub(at)
	all := in.state.all()
	switch newest := all[len(all)-1]; {
	case old > in.maxAge:
		r.add(name, CheckFail, "the newest complete backup, %s, is %s old, more than %s", b.Name, shortAge(old), shortAge(in.maxAge))
	case old < -time.Hour:
		r.add(name, CheckWarn, "%s is from the future: is the clock right?", b.Name)
	case newest.ID != b.ID && btrfs.IsDamage(newest.WhyNot):
		r.add(name, CheckWarn, "%s is %s old; the newest, %s, is damaged", b.Name, shortAge(old), newest.Name)
	case newest.ID != b.ID:
		r.add(name, CheckWarn, "%s is %s old; the newest, %s, is incomplete", b.Name, shortAge(old), newest.Name)
	default:
		r.add(name, CheckOK, "%s is %s old", b.Name, shortAge(max(old, 0)))
	}
}

// shortAge is to the minute, or to the second below one.
func shortAge(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	hours, minutes := d/time.Hour, d%time.Hour/time.Minute
	switch {
	case hours == 0:
		return fmt.Sprintf("%dm", minutes)
	case minutes == 0:
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dh %dm", hours, minutes)
}

func checkCur(in *checkInput, r *CheckReport) {
	const name = curName
	b := newestUndamaged(in.state)
	level := CheckFail
	if in.running != nil {
		level = CheckWarn // between two steps of the run, perhaps
	}
	switch st := in.state; {
	case st.curHidden():
		r.add(name, CheckWarn, "it names %s, on which something is mounted", st.curLink)
	case b == nil && st.cur == absent:
		r.add(name, CheckOK, "there is nothing it could name")
	case b == nil:
		r.add(name, level, "it is there although there is no complete backup")
	case b.Current:
		r.add(name, CheckOK, "it names %s", b.Name)
	case st.cur == absent:
		r.add(name, level, "it is missing; it should name %s", b.Name)
	case st.cur != symlink:
		r.add(name, level, "it is a %s, not a symlink", st.cur)
	default:
		r.add(name, level, "it names %q; it should name %s", st.curLink, b.Name)
	}
}

func checkPending(in *checkInput, r *CheckReport) {
	const name = pendingName
	st := in.state
	switch {
	case in.running != nil && in.now.Sub(in.running.Since) > in.maxAge:
		r.add(name, CheckWarn, "%s (pid %d) has been running for %s", in.running.Verb, in.running.PID, shortAge(in.now.Sub(in.running.Since)))
	case in.running != nil:
		r.add(name, CheckOK, "%s (pid %d) is running", in.running.Verb, in.running.PID)
	case st.lostPending:
		r.add(name, CheckWarn, "an unfinished backup is damaged; backups are made beside it")
	case st.pending.kind == absent:
		r.add(name, CheckOK, "there is none")
	case st.pending.kind != subvolume:
		r.add(name, CheckWarn, "it is a %s; the next backup moves it aside", st.pending.kind)
	case st.pending.publishedAs(st.newest()):
		r.add(name, CheckOK, "%s was published from it; the next run removes it", st.newest().Name)
	case in.now.Sub(in.pendingSince) > in.maxAge:
		r.add(name, CheckFail, "a backup was not finished, and none has been for %s", shortAge(in.now.Sub(in.pendingSince)))
	default:
		r.add(name, CheckWarn, "a backup was not finished; the next one resumes it, or begins anew where that is safer")
	}
}

// checkRecords is lenient while a run is between writing a record and
// publishing.
func checkRecords(in *checkInput, r *CheckReport) {
	const name = "records"
	var unreadable, lost, writable []string
	without := 0
	for _, b := range in.state.backups {
		switch {
		case b.RecordError != "":
			unreadable = append(unreadable, b.Name)
		case namedByUs(b.Name) && (b.Record == nil || b.Record.Started.IsZero()): // pin and verify write some of one
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
		r.add(name, CheckFail, "%s missing or not readable: %s", plural(len(unreadable), "record"), someNames(unreadable))
	case len(lost) > 0:
		r.add(name, CheckWarn, "%s missing: %s; nobody knows whether it lacks something", plural(len(lost), "record"), someNames(lost))
	case len(st.orphans) > 0 && in.running == nil:
		r.add(name, CheckWarn, "%s without a backup: %s; the next run removes them", plural(len(st.orphans), "record"), someNames(st.orphans))
	case len(st.trash) > 0 && in.running == nil:
		r.add(name, CheckWarn, "a deletion was interrupted: %s; the next run finishes it", someNames(st.trash))
	case len(writable) > 0:
		r.add(name, CheckWarn, "%s not read-only: %s", plural(len(writable), "backup"), someNames(writable))
	case without > 0:
		r.add(name, CheckOK, "%s, %d without a record: made by another program", plural(len(st.backups), "backup"), without)
	default:
		r.add(name, CheckOK, "%s, each with its record", plural(len(st.backups), "backup"))
	}
}

func someNames(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

// lostOf parts the backups that can not be opened into those that are damaged and
// those that are not for this user.
func lostOf(broken []Snapshot) (lost, closed []string) {
	for _, b := range broken {
		if btrfs.IsDamage(b.WhyNot) {
			lost = append(lost, b.Name)
		} else {
			closed = append(closed, b.Name)
		}
	}
	return lost, closed
}

func checkVerified(in *checkInput, r *CheckReport) {
	const name = "verified"
	var damaged []string
	for _, b := range in.state.backups {
		if b.Record != nil && b.Record.Verified != nil && b.Record.Verified.Result == Damaged {
			damaged = append(damaged, b.Name)
		}
	}
	i := lastClean(in.state.backups)
	lost, closed := lostOf(in.state.broken)
	switch {
	case len(lost) > 0:
		r.add(name, CheckFail, "%s damaged, nothing in it can be read: %s", plural(len(lost), "backup"), someNames(lost))
	case len(closed) > 0:
		r.add(name, CheckWarn, "%s can not be opened by this user: %s", plural(len(closed), "backup"), someNames(closed))
	case len(damaged) > 0:
		r.add(name, CheckFail, "%s damaged when last read: %s", plural(len(damaged), "backup"), someNames(damaged))
	case i < 0:
		r.add(name, CheckOK, "no backup has been verified")
	default:
		b := in.state.backups[i]
		r.add(name, CheckOK, "%s was clean %s ago", b.Name, shortAge(in.now.Sub(b.Record.Verified.At)))
	}
}

func checkSpace(in *checkInput, r *CheckReport) {
	level := CheckOK
	twice := MinFree{Bytes: 2 * in.minFree.Bytes, Percent: 2 * in.minFree.Percent}
	switch {
	case !in.minFree.reached(in.free, in.total):
		level = CheckFail
	case !twice.reached(in.free, in.total):
		level = CheckWarn
	}
	text := fmt.Sprintf("%s of %s free (%.0f %%)", humanize.Bytes(in.free), humanize.Bytes(in.total), percent(in.free, in.total))
	switch level {
	case CheckFail:
		text += fmt.Sprintf(", less than %v", in.minFree)
	case CheckWarn:
		text += fmt.Sprintf(", less than twice %v", in.minFree)
	}
	r.add("space", level, "%s", text)
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) * 100 / float64(whole)
}

// checkMetadata: a filesystem with no room for metadata refuses every change,
// however much space is free for data.
func checkMetadata(in *checkInput, r *CheckReport) {
	used, room := metadataRoom(in.spaces, in.devices)
	level := CheckOK
	switch {
	case room < in.minMetadata:
		level = CheckFail
	case room < 2*in.minMetadata:
		level = CheckWarn
	}
	text := fmt.Sprintf("%s used, room for %s more", humanize.Bytes(used), humanize.Bytes(room))
	switch level {
	case CheckFail:
		text += ", less than " + humanize.Bytes(in.minMetadata)
	case CheckWarn:
		text += ", less than twice " + humanize.Bytes(in.minMetadata)
	}
	r.add("metadata", level, "%s", text)
}

// metadataRoom adds what is free in the block groups for metadata, less the
// reserve the kernel keeps for itself, and what is not allocated yet, in as
// many copies as metadata has.
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

func checkDevices(in *checkInput, r *CheckReport) {
	const name = "devices"
	if in.devicesErr != nil {
		r.add(name, CheckFail, "their error counters can not be read: %v", in.devicesErr)
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
		r.add(name, CheckFail, "%s (to reset them, once the cause is known, with btrfs-progs: btrfs device stats --reset %s)", strings.Join(bad, "; "), in.dest)
		return
	}
	r.add(name, CheckOK, "%s, no errors counted", plural(len(in.devices), "device"))
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

// checkMount tells a mount that is meant to be read-only from a filesystem
// that went read-only under it, on an error.
func checkMount(in *checkInput, r *CheckReport) {
	const name = "mount"
	switch m := in.mount; {
	case m.superReadOnly && !m.readOnly:
		r.add(name, CheckFail, "the filesystem went read-only after an error; see dmesg")
	case m.superReadOnly || m.readOnly:
		r.add(name, CheckWarn, "mounted read-only: no backup can be made")
	case len(in.state.hidden) > 0:
		r.add(name, CheckWarn, "something is mounted on %s, and hides what is there: no backup is read or deleted there meanwhile", someNames(in.state.hidden))
	default:
		r.add(name, CheckOK, "writable")
	}
}

func checkLog(in *checkInput, r *CheckReport) {
	const name = "log"
	const most = 2_000_000 // it is rotated past 1 MB
	switch l := in.log; {
	case l.kind == absent:
		r.add(name, CheckOK, "nothing has been logged yet")
	case l.kind != other || !l.regular:
		r.add(name, CheckFail, "%s is not a regular file", logFileName)
	case slices.Contains([]error{unix.EACCES, unix.EPERM}, l.access):
		r.add(name, CheckWarn, "%s is not writable for this user", logFileName)
	case l.access != nil && l.access != unix.EROFS:
		r.add(name, CheckFail, "%s: %v", logFileName, l.access)
	case l.size > most:
		r.add(name, CheckWarn, "%s has %s and is not rotated", logFileName, humanize.Bytes(uint64(l.size)))
	case in.state.logMode&0o077 != 0:
		r.add(name, CheckWarn, "%s has mode %04o: other users can look into it", logDirName, in.state.logMode)
	default:
		r.add(name, CheckOK, "%s of at most %s", humanize.Bytes(uint64(l.size)), humanize.Bytes(1_000_000))
	}
}
