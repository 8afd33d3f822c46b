//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// nobody is an ordinary user who owns nothing.
const nobody = 65534

// badInput is the disk that bad input must not change: a source and a destination with a backup, and beside them files
// that cannot be either.
type badInput struct {
	disk, src, dest, plain, file string
}

func newBadInput(t testing.TB) badInput {
	t.Helper()
	disk := loopfs.New(t, "1G")
	b := badInput{disk: disk, src: disk + "/src", dest: disk + "/dest", plain: disk + "/plain", file: disk + "/file"}
	for _, dir := range []string{b.dest, b.dest + "/inside", b.plain, b.src + "/inside"} {
		testdest.MakeDir(t, dir)
	}
	testdest.Write(t, b.src+"/data", "data")
	testdest.Write(t, b.dest+"/inside/data", "data")
	testdest.Write(t, b.file, "a file")
	testbin.Must(t, "init", b.dest)
	testdest.Backup(t, b.src, b.dest)
	// A destination below the source, with a backup made before it came to lie there.
	testbin.Must(t, "init", b.src+"/inside")
	testdest.Backup(t, b.dest+"/inside", b.src+"/inside")
	return b
}

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBadInput(t)
	ext4, tmpfs := loopfs.NewFS(t, "64M", "ext4"), loopfs.NewFS(t, "16M", "tmpfs")
	noRsync := append(os.Environ(), "PATH="+t.TempDir())
	unrunnable := t.TempDir()
	testdest.Write(t, unrunnable+"/rsync", "not executable")
	elsewhere := b.disk + "/elsewhere"

	for _, tt := range []struct {
		name string
		args []string
		env  []string
		exit int
		says []string // in the error line: operation, path, cause
		hint string   // in a hint; none is wanted when empty
	}{
		{name: "init of a missing DEST", args: []string{"init", elsewhere}, exit: 10, says: []string{elsewhere, "no such file"}, hint: "install -d -m 0700 " + elsewhere},
		{name: "init of a file", args: []string{"init", b.file}, exit: 10, says: []string{b.file, "not a directory"}},
		{name: "init on ext4", args: []string{"init", ext4}, exit: 10, says: []string{ext4, "btrfs"}, hint: "btrfs"},
		{name: "init on tmpfs", args: []string{"init", tmpfs}, exit: 10, says: []string{tmpfs, "btrfs"}, hint: "btrfs"},
		{name: "init of nothing", args: []string{"init", ""}, exit: 2, says: []string{"DEST", "empty"}},

		{name: "backup to a missing DEST", args: []string{"backup", b.src, elsewhere}, exit: 10, says: []string{elsewhere, "no such file"}, hint: "rsbtbackup init"},
		{name: "backup to a file", args: []string{"backup", b.src, b.file}, exit: 10, says: []string{b.file, "not a directory"}},
		{name: "backup to ext4", args: []string{"backup", b.src, ext4}, exit: 10, says: []string{ext4, "btrfs"}, hint: "btrfs"},
		{name: "backup to tmpfs", args: []string{"backup", b.src, tmpfs}, exit: 10, says: []string{tmpfs, "btrfs"}, hint: "btrfs"},
		{name: "backup to a DEST not initialised", args: []string{"backup", b.src, b.plain}, exit: 10, says: []string{b.plain, "not initialised"}, hint: "rsbtbackup init " + b.plain},
		{name: "backup to nothing", args: []string{"backup", b.src, ""}, exit: 2, says: []string{"DEST", "empty"}},

		{name: "list of a missing DEST", args: []string{"list", elsewhere}, exit: 10, says: []string{elsewhere, "no such file"}, hint: "rsbtbackup list "},
		{name: "list of a file", args: []string{"list", b.file}, exit: 10, says: []string{b.file, "not a directory"}},
		{name: "list of ext4", args: []string{"list", ext4}, exit: 10, says: []string{ext4, "btrfs"}, hint: "btrfs"},
		{name: "list of a DEST not initialised", args: []string{"list", b.plain}, exit: 10, says: []string{b.plain, "not initialised"}, hint: "findmnt"},

		{name: "DEST inside SRC", args: []string{"backup", b.src, b.src + "/inside"}, exit: 13, says: []string{b.src, "inside"}, hint: "--exclude=/inside"},
		{name: "SRC inside DEST", args: []string{"backup", b.dest + "/inside", b.dest}, exit: 13, says: []string{b.dest + "/inside", "inside"}},
		{name: "SRC is DEST", args: []string{"backup", b.dest, b.dest}, exit: 13, says: []string{b.dest, "same"}},
		{name: "SRC missing", args: []string{"backup", elsewhere, b.dest}, exit: 12, says: []string{elsewhere, "no such file"}},
		{name: "SRC a file", args: []string{"backup", b.file, b.dest}, exit: 12, says: []string{b.file, "not a directory"}},
		{name: "SRC empty though it was not", args: []string{"backup", b.plain, b.dest}, exit: 13, says: []string{b.plain, "empty"}, hint: "--force"},
		{name: "SRC is nothing", args: []string{"backup", "", b.dest}, exit: 2, says: []string{"SRC"}},
		{name: "SRC an option for ssh", args: []string{"backup", "-oProxyCommand=true:/x", b.dest}, exit: 2},

		{name: "rsync absent", args: []string{"backup", b.src, b.dest}, env: noRsync, exit: 1, says: []string{"rsync", "not found"}, hint: "it is not in PATH: "},
		{name: "rsync not executable", args: []string{"backup", b.src, b.dest, "--rsync", b.file}, exit: 1, says: []string{b.file, "permission denied"}},
		{name: "--rsync missing", args: []string{"backup", b.src, b.dest, "--rsync", elsewhere}, exit: 1, says: []string{elsewhere}},
		{name: "rsync too old", args: []string{"backup", b.src, b.dest}, env: fakeRsync(t, "echo 'rsync  version 2.6.9  protocol version 29'\n"), exit: 1, says: []string{"rsync", "2.6.9"}, hint: "rsync"},
		{name: "rsync in PATH not executable", args: []string{"backup", b.src, b.dest}, env: append(os.Environ(), "PATH="+unrunnable), exit: 1, says: []string{"rsync"}},

		{name: "--remove-source-files", args: []string{"backup", b.src, b.dest, "--", "--remove-source-files"}, exit: 2, says: []string{"--remove-source-files", "source"}},
		{name: "--backup-dir", args: []string{"backup", b.src, b.dest, "--", "--backup-dir=" + elsewhere}, exit: 2, says: []string{"--backup-dir"}, hint: "kept"},
		{name: "a second destination", args: []string{"backup", b.src, b.dest, "--", elsewhere}, exit: 2, says: []string{elsewhere, "destination"}},
		{name: "a second destination among options", args: []string{"backup", b.src, b.dest, "--", "-z", elsewhere, "--checksum"}, exit: 2, says: []string{elsewhere, "destination"}},
		{name: "a second --", args: []string{"backup", b.src, b.dest, "--", "--", elsewhere}, exit: 2, says: []string{"--"}},
		{name: "--chmod=0777", args: []string{"backup", b.src, b.dest, "--", "--chmod=0777"}, exit: 2, says: []string{"--chmod", "permissions of the source"}, hint: "restored"},
		{name: "--chmod 0777", args: []string{"backup", b.src, b.dest, "--", "--chmod", "0777"}, exit: 2, says: []string{"--chmod", "permissions of the source"}, hint: "restored"},
		{name: "--chown=65534:65534", args: []string{"backup", b.src, b.dest, "--", "--chown=65534:65534"}, exit: 2, says: []string{"--chown", "owners"}, hint: "restored"},
		{name: "--no-owner", args: []string{"backup", b.src, b.dest, "--", "--no-owner"}, exit: 2, says: []string{"--no-owner", "owners"}},
		{name: "--no-super", args: []string{"backup", b.src, b.dest, "--", "--no-super"}, exit: 2, says: []string{"--no-super", "owners"}},
		{name: "-M of a local SRC", args: []string{"backup", b.src, b.dest, "--", "-M--bwlimit=1m"}, exit: 2, says: []string{"--remote-option is for a remote SRC"}},
		{name: "-M--no-super", args: []string{"backup", b.src, b.dest, "--", "-M--no-super"}, exit: 2, says: []string{"-M --no-super", "two ends"}},
		{name: "-zO", args: []string{"backup", b.src, b.dest, "--", "-zO"}, exit: 2, says: []string{"-O", "times"}},
		{name: "--protocol=30", args: []string{"backup", b.src, b.dest, "--", "--protocol=30"}, exit: 2, says: []string{"--protocol", "times"}, hint: "rsync agrees"},
		{name: "--safe-links", args: []string{"backup", b.src, b.dest, "--", "--safe-links"}, exit: 2, says: []string{"--safe-links", "symlinks"}, hint: "exclude"},
		{name: "--size-only", args: []string{"backup", b.src, b.dest, "--", "--size-only"}, exit: 2, says: []string{"--size-only", "old content"}},
		{name: "--chmo=0777", args: []string{"backup", b.src, b.dest, "--", "--chmo=0777"}, exit: 2, says: []string{"--chmo", "is unknown"}},
		{name: "-v for rsync", args: []string{"backup", b.src, b.dest, "--", "-v"}, exit: 2, says: []string{"-v", "message"}, hint: "to see what changed"},
		{name: "-i for rsync", args: []string{"backup", b.src, b.dest, "-n", "--", "--itemize-changes"}, exit: 2, says: []string{"--itemize-changes"}, hint: "--dry-run"},
		{name: "-x for rsync", args: []string{"backup", b.src, b.dest, "--", "-x"}, exit: 2, says: []string{"-x"}, hint: "it is an option of this program, too"},
		{name: "rules from standard input", args: []string{"backup", b.src, b.dest, "--exclude-from=-"}, exit: 2, says: []string{"--exclude-from -", "standard input"}, hint: "to a file"},
		{name: "the same after --", args: []string{"backup", b.src, b.dest, "--", "-f. -"}, exit: 2, says: []string{"-f -", "standard input"}},
		{name: "rules from nowhere", args: []string{"backup", b.src, b.dest, "--exclude-from=" + elsewhere}, exit: 2, says: []string{"read rules", elsewhere, "no such file"}},
		{name: "rules from a directory", args: []string{"backup", b.src, b.dest, "--filter=merge " + b.plain}, exit: 2, says: []string{"read rules", b.plain, "is a directory"}},
		{name: "rules to merge from nowhere", args: []string{"backup", b.src, b.dest, "--", "-f", "merge,e " + elsewhere}, exit: 2, says: []string{"read rules", elsewhere}},
		{name: "rules against nothing", args: []string{"verify", b.dest, "--against", b.src, "--exclude-from=-"}, exit: 2, says: []string{"--exclude-from -"}},
		{name: "what is gone, protected", args: []string{"backup", b.src, b.dest, "--filter=P *"}, exit: 2, says: []string{"--filter=P *", "gone from the source"}},
		{name: "an option rsync does not know", args: []string{"backup", b.src, b.dest, "--", "--frobnicate"}, exit: 2, says: []string{"--frobnicate"}},

		{name: "an unknown flag", args: []string{"backup", "--frobnicate", b.src, b.dest}, exit: 2, says: []string{"--frobnicate"}, hint: "rsbtbackup backup --help"},
		{name: "an unknown command", args: []string{"frobnicate"}, exit: 2, says: []string{"frobnicate"}, hint: "rsbtbackup --help"},
		{name: "backup without DEST", args: []string{"backup", b.src}, exit: 2, says: []string{"DEST"}, hint: "rsbtbackup backup --help"},
		{name: "a third operand", args: []string{"backup", b.src, b.dest, elsewhere}, exit: 2, says: []string{elsewhere}, hint: "rsbtbackup backup --help"},
		{name: "-- for a command that runs no rsync", args: []string{"list", b.dest, "--", "-v"}, exit: 2, says: []string{"unexpected argument -v"}},
		{name: "a percentage too high", args: []string{"backup", b.src, b.dest, "--max-delete-percent=101"}, exit: 2, says: []string{"101"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := b.describe(t, ext4, tmpfs)
			r := invocation{env: tt.env}.run(t, tt.args...)
			if diff := cmp.Diff(before, b.describe(t, ext4, tmpfs)); diff != "" {
				t.Errorf("something changed on disk:\n%s", diff)
			}
			if r.Exit != tt.exit {
				t.Errorf("exit %d, want %d", r.Exit, tt.exit)
			}
			wantOneErrorLine(t, r, tt.says...)
			hints := hintsOf(r)
			if tt.hint != "" && !strings.Contains(hints, tt.hint) {
				t.Errorf("hints %q, want one with %q", hints, tt.hint)
			}
			t.Logf("%s", r.Stderr)
		})
	}
	t.Run("the next backup works", func(t *testing.T) {
		testdest.WantSame(t, b.src, testdest.Backup(t, b.src, b.dest, "--exclude=/inside"), "--exclude=/inside")
	})
}

// describe lists everything that must not change. Below .log that excludes the holder of the lock, and the log, which
// has errors that occur after DEST was opened and locked.
func (b badInput) describe(t testing.TB, more ...string) []string {
	t.Helper()
	var lines []string
	for _, dir := range append([]string{b.disk}, more...) {
		for line := range strings.Lines(everything(t, dir)) {
			if !strings.Contains(line, "/.log ") && !strings.Contains(line, "/.log/activity.log ") && !strings.Contains(line, "/.log/holder.json ") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// withoutTimes leaves out the line of dir itself.
func withoutTimes(dir string, lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasSuffix(line, dir+" -> \n") })
}

func hintsOf(r testbin.Result) string {
	var hints strings.Builder
	for line := range strings.Lines(r.Stderr) {
		if strings.HasPrefix(line, "hint: ") {
			hints.WriteString(line)
		}
	}
	return hints.String()
}

func TestNoArgumentsShowHelpAndExit2(t *testing.T) {
	t.Parallel()
	r := testbin.Run(t)
	if r.Exit != 2 || r.Stdout != "" || !strings.Contains(r.Stderr, "rsbtbackup backup /etc /backup/etc") {
		t.Errorf("exit %d, stdout %q, stderr %q; want 2 and the help on stderr", r.Exit, r.Stdout, r.Stderr)
	}
	for _, args := range [][]string{{"--help"}, {"init", "--help"}, {"backup", "--help"}, {"list", "--help"}} {
		r := testbin.Must(t, args...)
		if !strings.Contains(r.Stdout, "EXAMPLE") || r.Stderr != "" {
			t.Errorf("%q: no example in the help:\n%s%s", args, r.Stdout, r.Stderr)
		}
	}
}

// The usage is checked before DEST is opened: not even the log changes.
func TestWrongUsageDoesNotTouchTheLog(t *testing.T) {
	t.Parallel()
	b := newBadInput(t)
	for _, args := range [][]string{
		{"backup", b.src, b.dest, "--", "--remove-source-files"},
		{"backup", b.src, b.dest, "--", b.plain},
		{"backup", b.src, b.dest, "--frobnicate"},
		{"backup", "", b.dest},
		{"list", b.dest, "more"},
	} {
		before := everything(t, b.disk)
		if r := testbin.Run(t, args...); r.Exit != 2 {
			t.Errorf("%q: exit %d, want 2", args, r.Exit)
		}
		if diff := cmp.Diff(before, everything(t, b.disk)); diff != "" {
			t.Errorf("%q changed something:\n%s", args, diff)
		}
	}
}

// The reason of a backup that failed at night is in the log.
func TestWhatStoppedARunIsInTheLog(t *testing.T) {
	t.Parallel()
	b := newBadInput(t)
	for _, tt := range []struct{ name, src, want string }{
		{"source missing", b.disk + "/missing", "no such file"},
		{"guard", b.plain, "is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := testdest.Read(t, b.dest+"/.log/activity.log")
			testbin.Run(t, "backup", tt.src, b.dest)
			if got := strings.TrimPrefix(testdest.Read(t, b.dest+"/.log/activity.log"), before); !strings.Contains(got, tt.want) || !strings.Contains(got, tt.src) {
				t.Errorf("the log says %q, want %q and %q in it", got, tt.src, tt.want)
			}
		})
	}
}

func TestAReadOnlyDestIsRefused(t *testing.T) {
	t.Parallel()
	image := loopfs.NewImage(t, "512M", "btrfs")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	for _, dir := range []string{"dest", "plain"} {
		testdest.MakeDir(t, filepath.Join(image.Mount, dir))
	}
	dest := filepath.Join(image.Mount, "dest")
	testbin.Must(t, "init", dest)
	testdest.Backup(t, src, dest)
	image.Remount(t, "ro")
	before := everything(t, image.Mount)
	for _, args := range [][]string{{"init", filepath.Join(image.Mount, "plain")}, {"backup", src, dest}} {
		r := testbin.Run(t, args...)
		if r.Exit != 1 {
			t.Errorf("%q: exit %d, want 1", args, r.Exit)
		}
		wantOneErrorLine(t, r, image.Mount, "read-only file system")
	}
	if got := testbin.Must(t, "list", dest).Stdout; !strings.Contains(got, testdest.Current(t, dest)) {
		t.Errorf("list on a read-only mount: %q", got)
	}
	testbin.Must(t, "init", dest)
	if diff := cmp.Diff(before, everything(t, image.Mount)); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBadInput(t)
	testdest.Write(t, b.src+"/new", "new")
	before := b.describe(t)
	for _, args := range [][]string{{"--dry-run"}, {"-n"}, {"--", "--dry-run"}, {"--", "-n"}} {
		for _, dest := range []string{b.dest, b.src + "/inside"} {
			args := append([]string{"backup", b.src, dest, "--force"}, args...)
			r := testbin.Must(t, args...)
			if !strings.Contains(r.Stdout, "dry run") {
				t.Errorf("%q does not say it was a dry run: %q", args, r.Stdout)
			}
			if diff := cmp.Diff(before, b.describe(t)); diff != "" {
				t.Errorf("%q changed something:\n%s", args, diff)
			}
		}
	}
}

// Once the connection is refused there is nothing to resume.
func TestARefusedConnectionChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBadInput(t)
	ssh := testserver.StartSSH(t)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"ssh refuses the key", []string{"127.0.0.1:" + b.src, b.dest, "-e", ssh.With("stranger", ssh.Port)}},
		{"ssh does not answer", []string{"127.0.0.1:" + b.src, b.dest, "-e", ssh.With("user", testserver.FreePort(t))}},
		{"rsync daemon does not answer", []string{fmt.Sprintf("rsync://127.0.0.1:%d/x", testserver.FreePort(t)), b.dest}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Whether a host answers is known only once rsync runs, which needs pending: that it came and went again
			// shows in the times of DEST.
			before := withoutTimes(b.dest, b.describe(t))
			if r := testbin.Run(t, append([]string{"backup"}, tt.args...)...); r.Exit != 12 {
				t.Errorf("exit %d, want 12: %s", r.Exit, r.Stderr)
			}
			if diff := cmp.Diff(before, withoutTimes(b.dest, b.describe(t))); diff != "" {
				t.Errorf("something changed on disk:\n%s", diff)
			}
		})
	}
}
