package config

import (
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Key is one key of a job. A * in its name is a name that the user chooses.
type Key struct {
	Name    string
	Kind    Kind
	Doc     string   // what it does, in a sentence or two
	Example string   // as TOML
	Enum    []string // the allowed texts, if not all are
	Most    int64    // of a number; 0: no limit of its own
	// JobOnly keys are allowed only in [job.NAME], the others in [group.NAME] and [defaults] too.
	JobOnly bool
	// Adds: the values of [defaults], groups and job are all used. Otherwise only the nearest is.
	Adds bool
	// Runs: it can make a program run.
	Runs bool

	set       func(j *Job, name string, v any)
	setGlobal func(c *Config, v any) // of [run] and [metrics]
}

// Keys are those of a job, in the order in which they are shown.
func Keys() []Key {
	return slices.Concat(sourceKeys(), transferKeys(), keepKeys(), verifyKeys(), copyKeys(), runKeys(), hookKeys(), tellKeys(), scheduleKeys())
}

// to makes a setter from one that takes the type to which the kind is decoded.
func to[T any](set func(*Job, T)) func(*Job, string, any) {
	return func(j *Job, _ string, v any) { set(j, v.(T)) }
}

// named is to for a key with a * in its name.
func named[T any](set func(*Job, string, T)) func(*Job, string, any) {
	return func(j *Job, name string, v any) { set(j, name, v.(T)) }
}

func sourceKeys() []Key {
	return []Key{
		{Name: "source", Kind: Texts, JobOnly: true, Example: `"/etc"`,
			Doc: "What to back up: a directory, host:/path, user@host:/path, host::module/path or rsync://host/module/path. Each of several in a list is a job of its own, named TABLE.SOURCE, with its own directory below dest: [\"/etc\", \"/var/lib\"] of [job.web] are the jobs web.etc and web.var-lib, in dest/etc and dest/var-lib.",
			set: to(func(*Job, []string) {})},
		{Name: "dest", Kind: Text, JobOnly: true, Example: `"/backup/etc"`,
			Doc: "The absolute path of a directory on btrfs that \"rsbtbackup init\" has prepared. No other job may have it.",
			set: to(func(j *Job, v string) { j.Backup.Dest = v })},
		{Name: "group", Kind: Texts, JobOnly: true, Example: `"web1"`,
			Doc: "The groups whose values apply to the job, instead of those in [defaults]. If several groups set a value, the last one applies.",
			set: to(func(*Job, []string) {})},
	}
}

func transferKeys() []Key {
	return []Key{
		{Name: "exclude", Kind: Texts, Adds: true, Example: `[".cache", "*.tmp"]`,
			Doc: "Leave out files that match a pattern of rsync. The patterns of [defaults], groups and the job are all used, also in the next three keys.",
			set: to(func(j *Job, v []string) { j.Backup.Exclude = v })},
		{Name: "exclude-from", Kind: Texts, Adds: true, Example: `"/etc/rsbtbackup.exclude"`,
			Doc: "Leave out files that match a pattern in this file.",
			set: to(func(j *Job, v []string) { j.Backup.ExcludeFrom = v })},
		{Name: "filter", Kind: Texts, Adds: true, Example: `"- *.o"`,
			Doc: "Filter rules of rsync.",
			set: to(func(j *Job, v []string) { j.Backup.Filter = v })},
		{Name: "exclude-caches", Kind: Bool, Example: "true",
			Doc: "Leave out the contents of each directory that has a CACHEDIR.TAG (with its signature), except that file. Only for sources on this machine, like the next key; in [defaults] or a group it applies only to those.",
			set: to(func(j *Job, v bool) { j.Backup.ExcludeCaches = v })},
		{Name: "exclude-if-present", Kind: Texts, Adds: true, Example: `".nobackup"`,
			Doc: "Leave out the contents of each directory that has a file of this name, except that file.",
			set: to(func(j *Job, v []string) { j.Backup.ExcludeIfPresent = v })},
		{Name: "rsync-args", Kind: Texts, Adds: true, Runs: true, Example: `["--skip-compress=gz/mp4", "--fuzzy"]`,
			Doc: "Further options for rsync, as after -- on the command line.",
			set: to(func(j *Job, v []string) { j.Backup.RsyncArgs = v })},
		{Name: "one-file-system", Kind: Bool, Example: "true",
			Doc: "Stay on the file system of the source. A btrfs subvolume below it counts as another.",
			set: to(func(j *Job, v bool) { j.Backup.OneFileSystem = v })},
		{Name: "inplace", Kind: Bool, Example: "true",
			Doc: "Write only the changed blocks of a changed file, so that it shares the others with the last backup (default: true). With false the whole file is written.",
			set: to(func(j *Job, v bool) { j.Backup.WholeFiles = !v })},
		{Name: "checksum", Kind: Bool, Example: "false",
			Doc: "Compare files by content, not by size and time.",
			set: to(func(j *Job, v bool) { j.Backup.Checksum = v })},
		{Name: "bwlimit", Kind: Rate, Example: `"10m"`,
			Doc: "Limit the transfer per second, as rsync does: 500k, 10m.",
			set: to(func(j *Job, v string) { j.Backup.Bwlimit = v })},
		{Name: "bwlimit-times", Kind: Windows, Example: `["08:00-18:00 1m", "18:00-22:00 5m"]`,
			Doc: "Limits that replace bwlimit for a transfer that begins at these times of day. The first that matches applies until the transfer ends; a rate of 0 is no limit.",
			set: to(func(j *Job, v []RateWindow) { j.Bwlimits = v })},
		{Name: "timeout", Kind: Time, Example: `"5m"`,
			Doc: "Stop if no data was transferred for this long.",
			set: to(func(j *Job, v time.Duration) { j.Backup.Timeout = v })},
		{Name: "rsh", Kind: Text, Runs: true, Example: `"ssh -p 2222 -i /root/.ssh/backup"`,
			Doc: "The remote shell, with its identity, user and port.",
			set: to(func(j *Job, v string) { j.Backup.Rsh = v })},
		{Name: "ssh-identity", Kind: Text, Example: `"/root/.ssh/backup"`,
			Doc: "The private key for ssh to the source. No other is tried. It is added to rsh, if that is ssh.",
			set: to(func(j *Job, v string) { j.SSH.Identity = v })},
		{Name: "ssh-user", Kind: Text, Example: `"backup"`,
			Doc: "The user for ssh, if the source does not name one.",
			set: to(func(j *Job, v string) { j.SSH.User = v })},
		{Name: "ssh-known-hosts", Kind: Text, Example: `"/etc/rsbtbackup.known_hosts"`,
			Doc: "A file with the accepted host keys; no others are accepted. ssh-keyscan prints them: compare its output with the keys on the hosts.",
			set: to(func(j *Job, v string) { j.SSH.KnownHosts = v })},
		{Name: "rsync", Kind: Text, Runs: true, Example: `"/usr/bin/rsync"`,
			Doc: "The rsync to run. The default is the first in PATH.",
			set: to(func(j *Job, v string) { j.Backup.RsyncProgram = v })},
		{Name: "partial", Kind: Text, Enum: []string{"publish", "refuse"}, Example: `"publish"`,
			Doc: "What to do if rsync cannot read everything: publish the backup as incomplete (publish, the default), or keep it unpublished for the next run (refuse).",
			set: to(func(j *Job, v string) { j.Backup.RefusePartial = v == "refuse" })},
		{Name: "max-delete-percent", Kind: Number, Most: 100, Example: "50",
			Doc: "Stop when more than this share of the files in the last backup is gone from the source.",
			set: to(func(j *Job, v int) { j.Backup.MaxDeletePercent = v })},
		{Name: "scan", Kind: Text, Enum: []string{"auto", "full", "walk"}, Example: `"auto"`,
			Doc: "How changes in a local source are found. walk: a walk of the source, or btrfs itself, finds what is new, and rsync compares only that. full: rsync compares everything. auto (default): walk, and from time to time full as a check.",
			set: to(func(j *Job, v string) { j.Backup.Scan = v })},
		{Name: "snapshot-source", Kind: Bool, Example: "true",
			Doc: "Back up a snapshot of the source, so that nothing changes while it is read, and remove the snapshot afterwards. The source must be on btrfs, in a subvolume that the caller owns unless the caller is root.",
			set: to(func(j *Job, v bool) { j.Backup.SnapshotSource = v })},
		{Name: "snapshot-nested", Kind: Bool, Example: "true",
			Doc: "The same, with a snapshot of each subvolume nested below the source. With snapshot-source alone these must be left out, by one-file-system or exclude.",
			set: to(func(j *Job, v bool) { j.Backup.SnapshotNested = v })},
		{Name: "skip-unchanged", Kind: Bool, Example: "true",
			Doc: "Make no backup if nothing has changed. The last one then counts as made now.",
			set: to(func(j *Job, v bool) { j.Backup.SkipUnchanged = v })},
		{Name: "lock-wait", Kind: Time, Example: `"10m"`,
			Doc: "Wait this long for another run on dest to end. Without it a locked dest fails at once.",
			set: to(func(j *Job, v time.Duration) { j.Backup.LockWait = v })},
	}
}

func keepKeys() []Key {
	keep := func(name, doc string, set func(p *retention.Policy, n int)) Key {
		return Key{Name: name, Kind: Count, Doc: doc, Example: "7", set: to(func(j *Job, v int) { set(&j.Prune.Policy, v) })}
	}
	within := func(name, doc string, set func(p *retention.Policy, s retention.Span)) Key {
		return Key{Name: name, Kind: Span, Doc: doc, Example: `"30d"`, set: to(func(j *Job, v retention.Span) { set(&j.Prune.Policy, v) })}
	}
	rules := ruleKeys(keep, within, ruleDocs{
		last:         "Keep the newest N backups. N is a number from 1 or \"unlimited\", as in the next five.",
		hourly:       "Keep the newest backup of each of the last N hours that have one.",
		within:       "Keep what is less than this older than the latest backup: 12h, 30d, 2w, 6m, 1y6m (m is months).",
		withinHourly: "Of those, keep the newest of each hour.",
	})
	return slices.Concat([]Key{
		{Name: "prune", Kind: Bool, Example: "true",
			Doc: "After the backup delete the backups that no rule below keeps (true if there is a rule, or min-free).",
			set: to(func(j *Job, v bool) { j.NoPrune = !v })},
	}, rules, []Key{
		{Name: "min-free", Kind: Space, Example: `"10%"`,
			Doc: "Delete further backups, oldest first, until this much is free: 50G, 512MiB, 10%.",
			set: to(func(j *Job, v rsbtbackup.MinFree) { j.Prune.MinFree = v })},
		{Name: "keep-min", Kind: Above0, Example: "3",
			Doc: "With min-free keep at least N complete backups (1).",
			set: to(func(j *Job, v int) { j.Prune.KeepMin = v })},
		{Name: "wait", Kind: Bool, Example: "false",
			Doc: "Wait until the space of deleted backups is free.",
			set: to(func(j *Job, v bool) { j.Prune.Wait = v })},
	})
}

// ruleDocs are the descriptions of the rules of one place; the others are the same for other periods.
type ruleDocs struct{ last, hourly, within, withinHourly string }

// ruleKeys are the keys of a policy, made by keep and within.
func ruleKeys(keep func(name, doc string, set func(*retention.Policy, int)) Key, within func(name, doc string, set func(*retention.Policy, retention.Span)) Key, doc ruleDocs) []Key {
	return []Key{
		keep("keep-last", doc.last, func(p *retention.Policy, n int) { p.Last = n }),
		keep("keep-hourly", doc.hourly, func(p *retention.Policy, n int) { p.Hourly = n }),
		keep("keep-daily", "The same by days.", func(p *retention.Policy, n int) { p.Daily = n }),
		keep("keep-weekly", "The same by ISO weeks.", func(p *retention.Policy, n int) { p.Weekly = n }),
		keep("keep-monthly", "The same by months.", func(p *retention.Policy, n int) { p.Monthly = n }),
		keep("keep-yearly", "The same by years.", func(p *retention.Policy, n int) { p.Yearly = n }),
		within("keep-within", doc.within, func(p *retention.Policy, s retention.Span) { p.Within = s }),
		within("keep-within-hourly", doc.withinHourly, func(p *retention.Policy, s retention.Span) { p.WithinHourly = s }),
		within("keep-within-daily", "The same by days.", func(p *retention.Policy, s retention.Span) { p.WithinDaily = s }),
		within("keep-within-weekly", "The same by ISO weeks.", func(p *retention.Policy, s retention.Span) { p.WithinWeekly = s }),
		within("keep-within-monthly", "The same by months.", func(p *retention.Policy, s retention.Span) { p.WithinMonthly = s }),
		within("keep-within-yearly", "The same by years.", func(p *retention.Policy, s retention.Span) { p.WithinYearly = s }),
	}
}

func verifyKeys() []Key {
	return []Key{
		{Name: "verify.every", Kind: Cadence, Example: `"7d"`,
			Doc: "Read backups from the disk if they were last read this long ago: a span, or \"always\" for after each backup. Without it never.",
			set: to(func(j *Job, v Every) { j.Verify.Every = v })},
		{Name: "verify.new-only", Kind: Bool, Example: "true",
			Doc: "Read only data that was added since the newest backup that was verified without damage.",
			set: to(func(j *Job, v bool) { j.Verify.NewOnly = v })},
		{Name: "verify.jobs", Kind: Above0, Example: "4",
			Doc: "Read with this many threads (4). A single hard disk may be faster with 1.",
			set: to(func(j *Job, v int) { j.Verify.Jobs = v })},
		{Name: "verify.against", Kind: Bool, Example: "false",
			Doc: "Then compare the newest backup with the source, by content and all attributes. Files that changed since the backup are reported as different.",
			set: to(func(j *Job, v bool) { j.Verify.Against = v })},
		{Name: "check.every", Kind: Cadence, Example: `"always"`,
			Doc: "Check dest in a run if it was last checked this long ago. \"rsbtbackup check --all\" does it at any time.",
			set: to(func(j *Job, v Every) { j.Check.Every = v })},
		{Name: "check.max-age", Kind: Age, Example: `"26h"`,
			Doc: "How old the newest complete backup may be (26h).",
			set: to(func(j *Job, v time.Duration) { j.Check.Options.MaxAge = v })},
		{Name: "check.min-free", Kind: Space, Example: `"5%"`,
			Doc: "How much space must be free (5%). Below twice as much there is a warning.",
			set: to(func(j *Job, v rsbtbackup.MinFree) { j.Check.Options.MinFree = v })},
		{Name: "check.min-metadata", Kind: Bytes, Example: `"128MiB"`,
			Doc: "How much space must be free for metadata, as a size.",
			set: to(func(j *Job, v rsbtbackup.MinFree) { j.Check.Options.MinMetadata = uint64(v.Bytes) })},
		{Name: "check.accept-damaged", Kind: Texts, Adds: true, JobOnly: true, Example: `"2026-11-23-09:00"`,
			Doc: "Names of backups whose damage is known and accepted: no check fails because of it.",
			set: to(func(j *Job, v []string) { j.Check.Options.AcceptDamaged = v })},
	}
}

func runKeys() []Key {
	return []Key{
		{Name: "removable", Kind: Bool, Example: "false",
			Doc: "The disk of dest may be absent: the job is then skipped without a warning. It counts as there if dest, or the nearest directory above it that exists, is on another btrfs than /.",
			set: to(func(j *Job, v bool) { j.Removable = v })},
		{Name: "on-battery", Kind: Bool, Example: "true",
			Doc: "Whether the job runs while the machine is on battery (default: true). If not, it is skipped without a warning; a timer does not start if none of its jobs may run.",
			set: to(func(j *Job, v bool) { j.NoBattery = !v })},
		{Name: "on-metered", Kind: Bool, Example: "true",
			Doc: "Whether a remote source is read, and a copy to another machine made, over a connection that NetworkManager considers metered (default: true). If not, the job, or only the copy, is skipped without a warning.",
			set: to(func(j *Job, v bool) { j.NoMetered = !v })},
		{Name: "retry-for", Kind: Time, Example: `"2h"`,
			Doc: "Keep trying a source that cannot be reached for this long. Other jobs continue.",
			set: to(func(j *Job, v time.Duration) { j.RetryFor = v })},
		{Name: "retry-delay", Kind: Time, Example: `"1m"`,
			Doc: "How long to wait before the second try (1m). Each further wait is longer.",
			set: to(func(j *Job, v time.Duration) { j.RetryDelay = v })},
		{Name: "time-limit", Kind: Time, Example: `"12h"`,
			Doc: "Stop the job when it has taken this long. The next run continues with the transferred data.",
			set: to(func(j *Job, v time.Duration) { j.TimeLimit = v })},
		{Name: "nice", Kind: Number, Most: 19, Example: "10",
			Doc: "The scheduling priority of rsync: 0 (normal) to 19 (only when no other process needs the processor).",
			set: to(func(j *Job, v int) { j.Nice = v })},
		{Name: "ionice", Kind: Text, Enum: ionices(), Example: `"idle"`,
			Doc: "The input and output priority of rsync: best-effort:0 (first) to best-effort:7 (last), or idle.",
			set: to(func(j *Job, v string) { j.Ionice = v })},
	}
}

func ionices() []string {
	all := []string{"idle"}
	for n := range 8 {
		all = append(all, "best-effort:"+string(rune('0'+n)))
	}
	return all
}

func hookKeys() []Key {
	hook := func(name, example, doc string, set func(h *Hooks, c []Command)) Key {
		return Key{Name: "hooks." + name, Kind: Program, Runs: true, Example: example, Doc: doc,
			set: to(func(j *Job, v []Command) { set(&j.Hooks, v) })}
	}
	return []Key{
		hook("before", `["/usr/sbin/runuser", "-u", "postgres", "--", "pg_dumpall", "-f", "/srv/dumps/all.sql"]`, "A program and its arguments, or a list of several such lists, to run before the backup. No shell is used. docs/TELLING.md describes its environment, and when no hook is run.", func(h *Hooks, c []Command) { h.Before = c }),
		hook("after", `["/bin/systemctl", "start", "--no-block", "offsite.service"]`, "To run when all steps of the job succeeded.", func(h *Hooks, c []Command) { h.After = c }),
		hook("failure", `["/bin/sh", "-c", "mail -s \"$RSBTBACKUP_JOB failed\" root <\"$RSBTBACKUP_LOG\""]`, "To run when a step failed, or the backup is incomplete.", func(h *Hooks, c []Command) { h.Failure = c }),
		hook("finally", `["/bin/umount", "/mnt/camera"]`, "To run at the end, in every case, and after each attempt if the source is tried again.", func(h *Hooks, c []Command) { h.Finally = c }),
		hook("before-snapshot", `["/bin/systemctl", "stop", "mariadb.service"]`, "To run right before a snapshot of the source is made (snapshot-source).", func(h *Hooks, c []Command) { h.BeforeSnapshot = c }),
		hook("after-snapshot", `["/bin/systemctl", "start", "mariadb.service"]`, "To run right after the snapshot was made, or could not be made: to continue what before-snapshot has stopped.", func(h *Hooks, c []Command) { h.AfterSnapshot = c }),
		{Name: "hooks.timeout", Kind: Time, Example: `"10m"`,
			Doc: "How long each hook may take (1h). Then it is killed, with all processes that it has started.",
			set: to(func(j *Job, v time.Duration) { j.Hooks.Timeout = v })},
		{Name: "hooks.on-failure", Kind: Text, Enum: []string{"stop", "warn"}, Example: `"stop"`,
			Doc: "What the failure of a hook does: stop makes the job fail, and no backup is made after a failed hooks.before; warn is only a warning. The default is stop.",
			set: to(func(j *Job, v string) { j.Hooks.OnFailure = v })},
	}
}

func tellKeys() []Key {
	return []Key{
		{Name: "ping.url", Kind: Hidden, Example: `"https://hc-ping.com/UUID"`,
			Doc: "The URL of a monitor that gets a ping at the start and the end of each run of the job; docs/TELLING.md has an example for each service. May be \"file:/path\", \"credential:NAME\" or \"env:NAME\", as all secrets.",
			set: to(func(j *Job, v Secret) { j.Ping.URL = v })},
		{Name: "ping.style", Kind: Text, Enum: []string{"healthchecks", "uptime-kuma", "cronitor"}, Example: `"healthchecks"`,
			Doc: "The style of the pings; the default is healthchecks.",
			set: to(func(j *Job, v string) { j.Ping.Style = v })},
		{Name: "ping.timeout", Kind: Time, Example: `"10s"`,
			Doc: "How long one try may take (10s).",
			set: to(func(j *Job, v time.Duration) { j.Ping.Timeout = v })},
		{Name: "ping.retries", Kind: Number, Most: 100, Example: "3",
			Doc: "How often it is tried again (3).",
			set: to(func(j *Job, v int) { j.Ping.Retries = &v })},
		httpKey("url", Hidden, `"https://ntfy.sh/TOPIC"`, "A server that gets reports by HTTP, under a name of your choice.", nil, func(h *HTTP, v Secret) { h.URL = v }),
		httpKey("on", Texts, `["failure"]`, "When: start, success, failure. The default is failure.", []string{"start", "success", "failure"}, func(h *HTTP, v []string) { h.On = v }),
		httpKey("method", Text, `"POST"`, "The default is POST.", []string{"GET", "HEAD", "POST", "PUT", "PATCH"}, func(h *HTTP, v string) { h.Method = v }),
		{Name: "http.*.headers.*", Kind: Hidden, Example: `"env:NTFY_TOKEN"`,
			Doc: "A header of the request, by its name; its value is a secret.",
			set: named(func(j *Job, name string, v Secret) {
				server, header, _ := strings.Cut(name, "\x00")
				h := j.http(server)
				if h.Headers == nil {
					h.Headers = map[string]Secret{}
				}
				h.Headers[header] = v
			})},
		httpKey("body", Text, `"{{.Job}}: {{.Status}}"`, "A template of Go (text/template) for the body of the request; docs/TELLING.md lists its values. The default is one line with all of them.", nil, func(h *HTTP, v string) { h.Body = v }),
		httpKey("timeout", Time, `"10s"`, "How long one try may take (10s).", nil, func(h *HTTP, v time.Duration) { h.Timeout = v }),
		httpKey("retries", Number, "3", "How often it is tried again (3).", nil, func(h *HTTP, v int) { h.Retries = &v }),
	}
}

func scheduleKeys() []Key {
	return []Key{
		{Name: "schedule.on", Kind: Text, Example: `"daily"`,
			Doc: "When the job is to run: a calendar expression of systemd, see systemd.time(7). \"rsbtbackup schedule\" makes a timer of it, \"rsbtbackup status\" shows it.",
			set: to(func(j *Job, v string) { j.Schedule.On = v })},
		{Name: "schedule.random-delay", Kind: Time, Example: `"15m"`,
			Doc: "The longest delay of the timer, so that many machines do not begin at once (15m). It is always the same on one machine. 0 is no delay.",
			set: to(func(j *Job, v time.Duration) { j.Schedule.RandomDelay = &v })},
		{Name: "schedule.io-weight", Kind: Above0, Most: 10000, Example: "50",
			Doc: "The share of the disk's time for the unit when other processes use the disk too, from 1 to 10000: IOWeight= of systemd (100 is normal).",
			set: to(func(j *Job, v int) { j.Schedule.IOWeight = v })},
	}
}

func httpKey[T any](name string, kind Kind, example, doc string, enum []string, set func(*HTTP, T)) Key {
	return Key{Name: "http.*." + name, Kind: kind, Example: example, Doc: doc, Enum: enum,
		set: named(func(j *Job, server string, v T) { set(j.http(server), v) })}
}

// http returns the server with that name, and adds it if it is missing.
func (j *Job) http(name string) *HTTP {
	i, found := slices.BinarySearchFunc(j.HTTP, name, func(h HTTP, name string) int { return strings.Compare(h.Name, name) })
	if !found {
		j.HTTP = slices.Insert(j.HTTP, i, HTTP{Name: name})
	}
	return &j.HTTP[i]
}
