package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
)

func TestClean(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "/backup/etc", "/backup/etc"},
		{"letters of all kinds stay", "/Größe/東京 é🙂", "/Größe/東京 é🙂"},
		{"line break", "a\nb", `a\nb`},
		{"escape sequence", "\x1b[31mred\x07", `\x1b[31mred\x07`},
		{"tab, return, DEL", "a\tb\rc\x7f", `a\x09b\x0dc\x7f`},
		{"C1: CSI in one rune", "a\u009b31m", `a\u009b31m`},
		{"no UTF-8", "a\xff\xc3", `a\xff\xc3`},
		{"the replacement character itself is text", "\uFFFD", "\uFFFD"},
		{"reading direction turned", "a\u202egpj.exe", `a\u202egpj.exe`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"beyond 16 bits", "\U000e0001", `\U000e0001`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := clean(tt.in); got != tt.want {
				t.Errorf("clean(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestOneLine(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"plain", a, "a"},
		{"joined", errors.Join(a, b), "a; b"},
		{"joined below a step", &rsbtbackup.StepError{Step: "lock", Err: errors.Join(a, b)}, "lock: a; b"},
		{"joins in joins", errors.Join(fmt.Errorf("x: %w", errors.Join(a, b)), a), "x: a; b; a"},
		{"several %w are no join", fmt.Errorf("%w (%w)", a, b), "a (b)"},
		{"a line break in a path stays for clean", &fs.PathError{Op: "open", Path: "x\ny", Err: a}, "open x\ny: a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := oneLine(tt.err); got != tt.want {
				t.Errorf("oneLine = %q, want %q", got, tt.want)
			}
		})
	}
}

// A shell must read back what was quoted.
func TestQuote(t *testing.T) {
	words := []string{"", "plain", "/a/b-c_d.e:f@g", "two words", "it's", `back\slash`, "$HOME `id` \"x\"", "*", "~", "-x", "a\nb", "\x1b[31m", "a\xffb", "é", "!"}
	for _, word := range words {
		out, err := exec.Command("bash", "-c", "printf %s "+quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("bash reads %s as %q (%v), want %q", quote(word), out, err, word)
		}
	}
	if got := quoteAll("ls", "-l", "a b"); got != "ls -l 'a b'" {
		t.Errorf("quoteAll = %s", got)
	}
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&usageError{"", errors.New("x")}, 2},
		{rsbtbackup.ErrUsage, 2},
		{rsbtbackup.ErrIncomplete, 3},
		{rsbtbackup.ErrNotInitialized, 10},
		{rsbtbackup.ErrNotBtrfs, 10},
		{rsbtbackup.ErrDest, 10},
		{rsbtbackup.ErrLocked, 11},
		{rsbtbackup.ErrSource, 12},
		{rsbtbackup.ErrGuard, 13},
		{rsbtbackup.ErrNoSpace, 14},
		{signalError{syscall.SIGHUP}, 129},
		{signalError{syscall.SIGINT}, 130},
		{signalError{syscall.SIGTERM}, 143},
		{context.Canceled, 1},
		{errors.Join(rsbtbackup.ErrIncomplete, errors.New("log")), 3},
		{errors.Join(rsbtbackup.ErrIncomplete, rsbtbackup.ErrNoSpace), 14},
		{errors.Join(rsbtbackup.ErrSource, signalError{syscall.SIGINT}), 130},
	} {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			if got := exitCode(tt.err); got != tt.want {
				t.Errorf("exitCode = %d, want %d", got, tt.want)
			}
			if tt.err == nil {
				return
			}
			if got := exitCode(&rsbtbackup.StepError{Step: "s", Err: fmt.Errorf("w: %w", tt.err)}); got != tt.want {
				t.Errorf("wrapped: %d, want %d", got, tt.want)
			}
		})
	}
}

func TestMessageOfAnInterruptedRun(t *testing.T) {
	err := &rsbtbackup.StepError{Step: "transfer", Err: fmt.Errorf("rsync: %w (rsync: lots of words)", signalError{syscall.SIGINT})}
	if got, want := message(err), "transfer: interrupted: got SIGINT"; got != want {
		t.Errorf("message = %q, want %q", got, want)
	}
}

func TestHints(t *testing.T) {
	backup := &backupCommand{Src: "/my home", Dest: "/b"}
	refusing := &backupCommand{Src: "/s", Dest: "/b", Partial: partialRefuse}
	denied := []string{"this root has not all rights (CAP_DAC_OVERRIDE), as in some containers and units, and on shares; to see whose it is: ls -ld /b"}
	if os.Geteuid() != 0 {
		denied = []string{"sudo rsbtbackup backup '/my home' /b -- --fuzzy"}
	}
	remote := &backupCommand{Src: "h:/s", Dest: "/b", Rsh: "ssh -p 1"}
	args := []string{"backup", "/my home", "/b", "--", "--fuzzy"}
	exit := func(code int) error { return &rsbtbackup.RsyncExitError{Code: code} }
	for _, tt := range []struct {
		name string
		err  error
		cmd  command
		want []string
	}{
		{"nothing helps", errors.New("x"), backup, nil},
		{"no arguments", &usageError{"", errNoArguments}, nil, nil},
		{"usage", &usageError{"", errors.New("x")}, nil, []string{"rsbtbackup --help"}},
		{"usage of a command", &usageError{"backup", errors.New("x")}, nil, []string{"rsbtbackup backup --help"}},
		{"not initialised", rsbtbackup.ErrNotInitialized, &listCommand{Dest: "/a b"}, []string{"to see whether its disk is mounted: findmnt -t btrfs", "to make it a backup directory: rsbtbackup init '/a b'"}},
		{"not initialised, for a backup", rsbtbackup.ErrNotInitialized, &backupCommand{Src: "/s", Dest: "/a b"}, []string{"rsbtbackup init '/a b'"}},
		{"DEST missing", errors.Join(rsbtbackup.ErrDest, fs.ErrNotExist), &listCommand{Dest: "/a"}, []string{"to see whether its disk is mounted: findmnt -t btrfs"}},
		{"DEST of init missing, not on btrfs", errors.Join(rsbtbackup.ErrDest, fs.ErrNotExist), &initCommand{Dest: "/dev/shm/a"}, []string{"DEST has to be on btrfs; to see where that is mounted: findmnt -t btrfs"}},
		{"DEST of a backup missing, not on btrfs", errors.Join(rsbtbackup.ErrDest, fs.ErrNotExist), &backupCommand{Dest: "/dev/shm/a"}, []string{"to see whether its disk is mounted: findmnt -t btrfs"}},
		{"DEST is remote", errors.Join(rsbtbackup.ErrDest, fs.ErrNotExist), &backupCommand{Dest: "h:/a"}, []string{"DEST is a directory on this machine; the source may be remote"}},
		{"DEST is a file", rsbtbackup.ErrDest, &listCommand{Dest: "/a"}, []string{"DEST has to be a directory; to see what it is: ls -ld /a"}},
		{"not btrfs", rsbtbackup.ErrNotBtrfs, backup, []string{"DEST has to be on btrfs; to see where that is mounted: findmnt -t btrfs"}},
		{"locked as it is published", &rsbtbackup.StepError{Step: "publish", Err: rsbtbackup.ErrLocked}, backup, []string{"to resume: rsbtbackup backup '/my home' /b -- --fuzzy"}},
		{"locked", rsbtbackup.ErrLocked, backup, []string{"to wait for it: rsbtbackup backup '/my home' /b --lock-wait=10m -- --fuzzy"}},
		{"guard", rsbtbackup.ErrGuard, backup, []string{"to look: ls -la '/my home'", "if that is right: rsbtbackup backup '/my home' /b --force -- --fuzzy"}},
		{"SRC is DEST: nothing overrides that", errors.Join(rsbtbackup.ErrGuard, rsbtbackup.ErrOverlap), backup, []string{"to see the order of the arguments: rsbtbackup backup --help"}},
		{"DEST in SRC", errors.Join(rsbtbackup.ErrGuard, &rsbtbackup.DestInsideError{Exclude: []string{"/b", `/x/\*`}}), backup,
			[]string{`to leave DEST out: rsbtbackup backup '/my home' /b --exclude=/b '--exclude=/x/\*' -- --fuzzy`}},
		{"DEST mounted in SRC", errors.Join(rsbtbackup.ErrGuard, &rsbtbackup.DestInsideError{Exclude: []string{"/b"}, OtherFilesystem: true}), backup,
			[]string{"to stay on the filesystem of SRC: rsbtbackup backup '/my home' /b -x -- --fuzzy", "to leave DEST out: rsbtbackup backup '/my home' /b --exclude=/b -- --fuzzy"}},
		{"DEST read-only", &rsbtbackup.StepError{Step: "DEST", Err: &fs.PathError{Op: "write to", Path: "/b", Err: syscall.EROFS}}, backup, []string{"to see how it is mounted: findmnt -T /b"}},
		{"TARGET of a copy read-only", &rsbtbackup.StepError{Step: "TARGET", Err: &fs.PathError{Op: "write to", Path: "/t", Err: syscall.EROFS}}, &copyCommand{Dest: "/b", Target: "/t"}, []string{"to see how it is mounted: findmnt -T /t"}},
		{"forced in vain", rsbtbackup.ErrGuard, &backupCommand{Src: "/s", Dest: "/b", Force: true}, nil},
		{"damage", rsbtbackup.ErrDamaged, &verifyCommand{Dest: "/b"}, []string{"to learn whether the newest backup has it too: rsbtbackup verify /b latest"}},
		{"no such path", rsbtbackup.ErrNoPath, &diffCommand{Dest: "/b", A: "latest~1", B: "latest"}, []string{"rsbtbackup ls /b latest"}},
		{"restore: remote out of reach", errors.Join(rsbtbackup.ErrTarget, exit(255)), &restoreCommand{Target: "h:/t"}, []string{"to try the target alone: rsync --list-only h:/t"}},
		{"a daemon refuses ACLs", errors.Join(rsbtbackup.ErrSource, exit(10), errors.New("rsync: The server is configured to refuse --acls (-A)")), backup, []string{"to do without: rsbtbackup backup '/my home' /b -- --fuzzy --no-acls"}},
		{"a daemon asks for a password", errors.Join(rsbtbackup.ErrSource, exit(5)), &backupCommand{Src: "rsync://h/m", Dest: "/b"}, []string{"if it asks for a password: RSYNC_PASSWORD=... rsbtbackup backup '/my home' /b -- --fuzzy"}},
		{"a quota that rsync met", errors.Join(rsbtbackup.ErrNoSpace, errors.New("rsync: write failed: Disk quota exceeded (122)")), backup, []string{"a quota is used up, not the disk; to see which, with btrfs-progs: btrfs qgroup show -reF /b"}},
		{"a quota of a target", errors.Join(rsbtbackup.ErrNoSpace, syscall.EDQUOT), &copyCommand{Dest: "/b", Target: "h:/t"}, []string{"on h: a quota is used up, not the disk; to see which, with btrfs-progs: btrfs qgroup show -reF /t"}},
		{"a full disk at init", rsbtbackup.ErrNoSpace, &initCommand{Dest: "/b"}, []string{"to see what is free there: df -h /b"}},
		{"too large to compare", rsbtbackup.ErrTooLarge, &diffCommand{Dest: "/b", A: "latest~1", B: "latest", Path: new("my log")},
			[]string{"diff -u <(rsbtbackup cat /b 'latest~1' -- 'my log') <(rsbtbackup cat /b latest -- 'my log')"}},
		{"no text to compare", rsbtbackup.ErrBinary, &diffCommand{Dest: "/b", A: "latest~1", B: "latest", Path: new("x")},
			[]string{"cmp <(rsbtbackup cat /b 'latest~1' -- x) <(rsbtbackup cat /b latest -- x)"}},
		{"cat of a damaged file", &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}, &catCommand{Dest: "/b", Backup: "latest"},
			[]string{"to see what is damaged, and which older backup has it intact: rsbtbackup verify /b latest"}},
		{"restore of a damaged file", fmt.Errorf("%w: read errors mapping \"x\": Input/output error (5)", rsbtbackup.ErrIncomplete), &restoreCommand{Dest: "/b", Backup: "2026"},
			[]string{"to see what is damaged, and which older backup has it intact: rsbtbackup verify /b 2026"}},
		{"no space", rsbtbackup.ErrNoSpace, backup, []string{"to see what that would free: rsbtbackup prune /b --keep-last=7 -n", "to see what is used: rsbtbackup check /b"}},
		{"no space for an archive", fmt.Errorf("send: %w: write /dev/stdout", rsbtbackup.ErrNoSpace), &sendCommand{Dest: "/b"}, []string{"the disk that the output goes to is full, not DEST: df -h"}},
		{"no rsync", rsbtbackup.ErrRsyncNotFound, backup, []string{"apt-get install rsync"}},
		{"refused option", &rsbtbackup.RsyncOptionError{Arg: "x", Hint: "do y"}, backup, []string{"do y"}},
		{"interrupted", signalError{syscall.SIGINT}, backup, []string{"to resume: rsbtbackup backup '/my home' /b -- --fuzzy"}},
		{"interrupted dry run", signalError{syscall.SIGINT}, &backupCommand{DryRun: true}, nil},
		{"interrupted dry run of rsync's", signalError{syscall.SIGINT}, &backupCommand{Rest: []string{"--dry-run"}}, nil},
		{"interrupted dry run of a restore", signalError{syscall.SIGINT}, &restoreCommand{DryRun: true}, nil},
		{"refused partial transfer", exit(23), refusing, []string{"to publish what could be read: rsbtbackup backup '/my home' /b --partial=publish -- --fuzzy"}},
		{"root without all rights", fmt.Errorf("DEST: %w", &fs.PathError{Op: "open", Path: "/b", Err: syscall.EACCES}), backup,
			denied},
		{"a DEST without ACLs", fmt.Errorf("%w: rsync: [generator] set_acl: xacl_set(d, ACL_TYPE_DEFAULT): Operation not supported (95)", rsbtbackup.ErrIncomplete), backup,
			[]string{"DEST cannot store that; to see how it is mounted: findmnt -T /b", "to do without: rsbtbackup backup '/my home' /b -- --fuzzy --no-acls"}},
		{"a target without ACLs", fmt.Errorf("%w: rsync: [receiver] set_acl: xacl_set(.a.x, ACL_TYPE_ACCESS): Operation not supported (95)", rsbtbackup.ErrIncomplete), &restoreCommand{Dest: "/b", Backup: "latest", Target: "/t"},
			[]string{"another try would miss the same; to see which filesystem that is: findmnt -T /t"}},
		{"a URL of a file", errors.Join(rsbtbackup.ErrSource, exit(12)), &backupCommand{Src: "file:///etc", Dest: "/b"}, []string{"a directory on this machine is written as a path: rsbtbackup backup /etc /b"}},
		{"a URL of a share", errors.Join(rsbtbackup.ErrSource, exit(255)), &backupCommand{Src: "smb://nas/x", Dest: "/b"}, []string{"rsync reads no smb; a share that is mounted here is written as a path: rsbtbackup backup /mnt/PATH /b"}},
		{"a path of Windows", errors.Join(rsbtbackup.ErrSource, exit(255)), &backupCommand{Src: `C:\Users`, Dest: "/b"}, []string{"a directory of Windows is read through its share, mounted here, or by an ssh server there: rsbtbackup backup /mnt/PATH /b"}},
		{"remote out of reach", errors.Join(rsbtbackup.ErrSource, exit(255)), remote, []string{"to try the source alone: rsync --list-only -e 'ssh -p 1' h:/s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := hints(tt.err, invocation{args: args, flags: &flags{}, command: tt.cmd})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A hint has each flag once, for any command line.
func TestAgainReplacesFlags(t *testing.T) {
	for _, tt := range []struct{ typed, flag, want string }{
		{"backup a b", "--force", "rsbtbackup backup a b --force"},
		{"backup --force a b -- --force", "--force", "rsbtbackup backup a b --force -- --force"},
		{"backup a --partial=refuse b", "--partial=publish", "rsbtbackup backup a b --partial=publish"},
		{"backup a --partial refuse b", "--partial=publish", "rsbtbackup backup a b --partial=publish"},
		{"backup a b --exclude=x", "--exclude=/b", "rsbtbackup backup a b --exclude=x --exclude=/b"},
	} {
		if got := (invocation{args: strings.Fields(tt.typed)}).again(tt.flag); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.typed, got, tt.want)
		}
	}
}

func TestName(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"a b/é", "a b/é"}, {"it's", "it's"}, {"a\nb", `a\nb`},
		{`a\nb`, `'a\nb'`}, {"'a\nb'", `$'\'a\012b\''`}, {"a\n\\", `$'a\012\\'`},
	} {
		if got := name(tt.in); got != tt.want {
			t.Errorf("name(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestBwlimit(t *testing.T) {
	for _, good := range []string{"", "0", "500", "500k", "10m", "1.5M", "2MiB", "3gb", ".5m", "1m-1"} {
		if err := checkBwlimit(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"abc", "-1", "10x", "1m/s", "1 m", "k"} {
		if checkBwlimit(bad) == nil {
			t.Errorf("%q is taken for a rate", bad)
		}
	}
}

// Ordinary names fit a terminal of 80 columns.
func TestTablesFit(t *testing.T) {
	record := &rsbtbackup.Record{}
	if err := json.Unmarshal([]byte(`{"stats": {"files": 1234567, "total_size": 123000000000, "literal": 123000000}}`), record); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	added := uint64(123e6)
	b := rsbtbackup.Snapshot{Name: "2026-11-11-09:00", Time: now.Add(-300 * time.Hour), Status: rsbtbackup.Complete, Current: true,
		Added: &added, Exclusive: &added, Record: record}
	v := rsbtbackup.Version{First: b.Name, Take: b.Name, Type: "file", Size: 123e6, Mode: 0o644, Changed: []rsbtbackup.DiffChange{"content", "mtime"}}
	long := v
	long.Vanished, long.Changed = b.Name, nil
	reasons := []string{"last 1", "hourly 2026-11-23 09:00", "daily 2026-11-23", "weekly 2026-W48", "monthly 2026-11", "yearly 2026"}
	for _, rows := range [][][]string{
		listRows([]rsbtbackup.Snapshot{b}, now, false), listRows([]rsbtbackup.Snapshot{b}, now, true),
		historyRows([]rsbtbackup.Version{v, long}),
		planRows([]rsbtbackup.Decision{{Snapshot: b, Frees: &added, Reasons: reasons}}, now),
	} {
		for _, line := range table(rows) {
			if len(line) > 80 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	}
}

// rsync's messages are shown once: in the error, or else line by line.
func TestRsyncLinesOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"no error", nil, 3},
		{"one of them is in the error", errors.New("incomplete: a failed"), 1},
		{"the source is out of reach", rsbtbackup.ErrSource, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			u := newUI(io.Discard, &stderr)
			u.configure(&flags{})
			for _, line := range []string{"a failed", "b failed", "a failed", "rsync error: some files (code 23)"} {
				u.log.Warn("rsync", "says", line)
			}
			if stderr.Len() > 0 {
				t.Errorf("too early: %s", &stderr)
			}
			u.rsyncLines.release(t.Context(), tt.err)
			if got := strings.Count(stderr.String(), "\n"); got != tt.want {
				t.Errorf("%d lines, want %d:\n%s", got, tt.want, &stderr)
			}
		})
	}
}

func TestProgressLine(t *testing.T) {
	known := progressSeen{rsbtbackup.Progress{Bytes: 35e6, Percent: 35, Rate: 5e6, Transferred: 390, ToCheck: 600, Total: 1000}, true, 0}
	skipping, finishing := known, known
	skipping.Percent, skipping.Transferred = 1, 7
	finishing.ToCheck = 0
	scanning := known
	scanning.Scanning = true
	begun, again, grown := scanning, scanning, scanning
	begun.ToCheck, begun.Total = 1000, 1000
	again.expected, grown.expected = 4000, 300
	for _, tt := range []struct {
		name  string
		seen  progressSeen
		width int
		want  string
	}{
		{"nothing known", progressSeen{}, 80, "/ reading  1:05"},
		{"rsync still reads the source", scanning, 80, "/ 35 MB  5.0 MB/s  400/1,000+ files  1:05"},
		{"the first file is big", begun, 80, "/ 35 MB  5.0 MB/s  0/1,000+ files  1:05"},
		{"the last backup tells how many there are", again, 90, "[===                           ] ~10%  35 MB  5.0 MB/s  ETA ~9:45  400/~4,000 files  1:05"},
		{"there are more than in the last backup", grown, 80, "/ 35 MB  5.0 MB/s  400/1,000+ files  1:05"},
		{"wide", known, 100, "[==========                    ]  35%  35 MB  5.0 MB/s  ETA 0:13  400/1,000 files  1:05"},
		{"80 columns", known, 80, "[=======               ]  35%  35 MB  5.0 MB/s  ETA 0:13  400/1,000 files  1:05"},
		{"most files unchanged: files count, not bytes", skipping, 80, "[========              ]  40%  35 MB  5.0 MB/s  ETA 1:37  400/1,000 files  1:05"},
		{"all looked at", finishing, 80, "/ finishing  35 MB  1,000 files  1:05"},
		{"60 columns", known, 60, " 35%  35 MB  5.0 MB/s  ETA 0:13  400/1,000 files  1:05"},
		{"30 columns", known, 30, " 35%  35 MB  5.0 MB/s"},
		{"4 columns", known, 4, " 35%"},
		{"0 columns", known, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := progressLine(tt.seen, 65*time.Second, tt.width)
			if got != tt.want {
				t.Errorf("progressLine = %q, want %q", got, tt.want)
			}
			if len(got) > tt.width {
				t.Errorf("%d columns wide, %d are there", len(got), tt.width)
			}
		})
	}
}

// Lines from within a file have no counts of files; those of the last one stay.
func TestProgressKeepsCounts(t *testing.T) {
	s := progressSeen{}.add(rsbtbackup.Progress{Bytes: 1, ToCheck: 3, Total: 9, Scanning: true}).add(rsbtbackup.Progress{Bytes: 2, ETA: time.Second})
	want := rsbtbackup.Progress{Bytes: 2, ETA: time.Second, ToCheck: 3, Total: 9, Scanning: true}
	if s.Progress != want {
		t.Errorf("progress = %+v, want %+v", s.Progress, want)
	}
}

func TestNumbers(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct{ got, want string }{
		{size(0), "0 B"}, {size(-1), "0 B"}, {size(1234567), "1.2 MB"},
		{count(1234567), "1,234,567"}, {plural(1, "file"), "1 file"}, {plural(1000, "file"), "1,000 files"},
		{took(1234 * time.Millisecond), "1.2s"}, {took(42 * time.Second), "42s"}, {took(62400 * time.Millisecond), "1m2s"},
		{age(-time.Second), "in the future"}, {age(59 * time.Second), "now"}, {age(61 * time.Minute), "1h 1m"},
		{age(49 * time.Hour), "2d 1h"}, {age(400 * day), "1y 35d"}, {age(5 * time.Minute), "5m"},
		{clock(7 * time.Second), "0:07"}, {clock(3723 * time.Second), "1:02:03"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestASCIIControls(t *testing.T) {
	in := "{\"a\":\"é\u009b\x7f\"}\n"
	if got, want := string(asciiControls([]byte(in))), "{\"a\":\"é\\u009b\\u007f\"}\n"; got != want {
		t.Errorf("asciiControls = %q, want %q", got, want)
	}
}

// What a user types is what the library gets.
func TestParseBackup(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want backupCommand
	}{
		{"defaults", nil, backupCommand{Inplace: true, Partial: "publish", Scan: "auto"}},
		{"upstream's -i", []string{"-i"}, backupCommand{Inplace: true, Partial: "publish", Scan: "auto"}},
		{"whole files", []string{"--no-inplace"}, backupCommand{Partial: "publish", Scan: "auto"}},
		{"short flags in one", []string{"-cxn"}, backupCommand{Inplace: true, Checksum: true, OneFileSystem: true, DryRun: true, Partial: "publish", Scan: "auto"}},
		{"patterns with commas, dashes and bad bytes", []string{"--exclude", "a,b", "--exclude=c\xff", "--filter", "- *.o"},
			backupCommand{Inplace: true, Partial: "publish", Scan: "auto", Exclude: []string{"a,b", "c\xff"}, Filter: []string{"- *.o"}}},
		{"seconds as rsync has them", []string{"--timeout", "300"}, backupCommand{Inplace: true, Partial: "publish", Scan: "auto", Timeout: seconds(5 * time.Minute)}},
		{"for rsync", []string{"--", "--exclude=.cache", "-v"}, backupCommand{Inplace: true, Partial: "publish", Scan: "auto", Rest: []string{"--exclude=.cache", "-v"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Src, tt.want.Dest = "host:/etc", "./-b\xff"
			args := append([]string{"backup", "host:/etc", "./-b\xff"}, tt.args...)
			cmd, err := parse(&grammar{}, args, os.Stdout, os.Stderr)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, cmd, cmp.AllowUnexported(backupCommand{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Every command says in its help how it is used, and what was forgotten fails here, for commands to come as well.
func TestEveryCommandIsComplete(t *testing.T) {
	root, err := wholeGrammar()
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range root.Leaves(true) {
		if _, ok := node.Target.Addr().Interface().(command); !ok {
			t.Errorf("%s has no run", node.Name)
		}
		if !strings.Contains(node.Detail, "EXAMPLE:\n\n    ") || !strings.Contains(node.Detail, "    rsbtbackup "+verbPath(node)) {
			t.Errorf("%s --help has no example:\n%s", node.Name, node.Detail)
		}
		if node.Help == "" {
			t.Errorf("%s has no help", node.Name)
		}
		for _, flag := range node.Flags {
			if flag.Help == "" {
				t.Errorf("%s --%s has no help", node.Name, flag.Name)
			}
		}
	}
}
