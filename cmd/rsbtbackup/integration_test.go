//go:build integration

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

// TestBtrfsScripts gives each script an initialised $DEST, and an empty directory $NEW on the same btrfs.
func TestBtrfsScripts(t *testing.T) {
	mount := loopfs.New(t, "1G")
	scripts(t, "testdata/btrfs", func(env *testscript.Env) error {
		dir := filepath.Join(mount, filepath.Base(env.WorkDir))
		env.Setenv("MNT", mount)
		env.Setenv("DEST", filepath.Join(dir, "dest"))
		env.Setenv("NEW", filepath.Join(dir, "new"))
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "dest"), 0o700), os.MkdirAll(filepath.Join(dir, "new"), 0o700))
		if err != nil {
			return err
		}
		return program(t, "init", "-q", filepath.Join(dir, "dest")).Run()
	})
}

// newDest returns an initialised backup directory on a btrfs of its own.
func newDest(t *testing.T) string {
	t.Helper()
	dest := filepath.Join(loopfs.New(t, "1G"), "dest")
	if err := os.Mkdir(dest, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := program(t, "init", dest).CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return dest
}

// source returns a directory with so many files of 64 KiB.
func source(t *testing.T, files int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%04d", i)), bytes.Repeat([]byte{byte(i)}, 64<<10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openPty returns a terminal of so many columns: the side of the person, and the side of the program.
func openPty(t *testing.T, columns uint16) (person, tty *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return person, tty
}

// onTerminal runs a command with stdout and stderr on a terminal and returns what it showed.
func onTerminal(t *testing.T, columns uint16, cmd *exec.Cmd) string {
	t.Helper()
	person, tty := openPty(t, columns)
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	shown, err := io.ReadAll(person)
	if err != nil && !errors.Is(err, syscall.EIO) { // EIO: the program has closed its side
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%q", err, shown)
	}
	return strings.ReplaceAll(string(shown), "\r\n", "\n")
}

var cursorMove = regexp.MustCompile(`\x1b\[\d*A\x1b\[J`)

func TestProgressOnATerminal(t *testing.T) {
	dest, src := newDest(t), source(t, 60)
	shown := onTerminal(t, 100, program(t, "-v", "backup", src, dest, "--bwlimit=2m"))
	for _, want := range []string{`\d+% `, `[\d.]+ [kM]B  [\d.]+ [kM]B/s`, `ETA \d+:\d\d`, `\d+/61 files`, `\[=+ *\]`} {
		if !regexp.MustCompile(want).MatchString(shown) {
			t.Errorf("nothing like %s in %q", want, shown)
		}
	}
	frames := cursorMove.Split(shown, -1)
	last := frames[len(frames)-1]
	if strings.Contains(last, "ETA") || !strings.Contains(last, " complete in ") {
		t.Errorf("the bar is not gone at the end: %q", last)
	}
	for _, line := range []string{"backup started", "backup finished"} {
		if strings.Count(shown, line) != 1 {
			t.Errorf("%q is there %d times, want once", line, strings.Count(shown, line))
		}
	}
	if !strings.Contains(shown, "\x1b[92mINF") {
		t.Errorf("the log has no colours: %q", shown)
	}
}

// rsync knows no more than a thousand files ahead how many there are; of a local source they are counted before a first
// backup.
func TestProgressOfAFirstBackup(t *testing.T) {
	dest, src := newDest(t), t.TempDir()
	for i := range 4000 {
		dir := filepath.Join(src, fmt.Sprint(i/100))
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	shown := onTerminal(t, 100, program(t, "backup", src, dest, "--bwlimit=100k"))
	want := regexp.MustCompile(`~ ?\d+%.* ETA ~\d+:\d\d  [\d,]+/~4,041 files`)
	if !want.MatchString(shown) {
		t.Errorf("nothing like %s in %q", want, shown)
	}
	if more := regexp.MustCompile(`\+ files`).FindString(shown); more != "" {
		t.Errorf("as if nobody knew how many: %q", shown)
	}
}

// A terminal that became narrower has wrapped the line: all of its rows go.
func TestProgressAfterTheWindowShrank(t *testing.T) {
	dest, src := newDest(t), source(t, 60)
	person, tty := openPty(t, 120)
	cmd := program(t, "backup", src, dest, "--bwlimit=1m")
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	var shown []byte
	aFrame, shrunk := regexp.MustCompile(`files +\d+:\d\d\r?\n`), false
	for buffer := make([]byte, 4096); ; {
		n, err := person.Read(buffer)
		if err != nil {
			break // EIO: the program has closed its side
		}
		shown = append(shown, buffer[:n]...)
		if !shrunk && aFrame.Match(shown) {
			shrunk = true
			if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%q", err, shown)
	}
	if !regexp.MustCompile(`\x1b\[[23]A\x1b\[J`).Match(shown) {
		t.Errorf("no line of several rows is removed: %q", shown)
	}
	if last := bytes.LastIndex(shown, []byte("\x1b[1A\x1b[J")); last < 0 {
		t.Errorf("lines that fit are not removed as such: %q", shown)
	}
}

func TestRowsOf(t *testing.T) {
	for _, tt := range []struct{ line, width, want int }{{0, 80, 1}, {80, 80, 1}, {81, 80, 2}, {100, 40, 3}, {7, 0, 1}} {
		if got := rowsOf(tt.line, tt.width); got != tt.want {
			t.Errorf("%d columns on rows of %d: %d rows, want %d", tt.line, tt.width, got, tt.want)
		}
	}
}

func TestProgressFitsANarrowTerminal(t *testing.T) {
	dest, src := newDest(t), source(t, 20)
	shown := onTerminal(t, 24, program(t, "backup", src, dest, "--bwlimit=1m"))
	frames := cursorMove.Split(shown, -1)
	for _, frame := range frames[:len(frames)-1] {
		if line := strings.TrimSuffix(frame, "\n"); len(line) > 24 {
			t.Errorf("%d columns wide: %q", len(line), line)
		}
	}
}

func TestNoProgressWhereItDoesNotBelong(t *testing.T) {
	src := source(t, 5)
	for _, tt := range []struct {
		name string
		args []string
		env  string
	}{
		{"quiet", []string{"-q"}, ""},
		{"json", []string{"--json"}, ""},
		{"dumb terminal", nil, "TERM=dumb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := program(t, append([]string{"backup", src, newDest(t)}, tt.args...)...)
			cmd.Env = append(cmd.Env, tt.env)
			if shown := onTerminal(t, 80, cmd); strings.ContainsAny(shown, "\x1b%") {
				t.Errorf("shown: %q", shown)
			}
		})
	}
	t.Run("pipe", func(t *testing.T) {
		var stderr bytes.Buffer
		cmd := program(t, "backup", src, newDest(t))
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("error %v, stderr %q", err, stderr.String())
		}
	})
}

func TestColours(t *testing.T) {
	src, dest := source(t, 1), newDest(t)
	for _, tt := range []struct {
		name string
		args []string
		env  string
		want bool
	}{
		{"auto", nil, "", true},
		{"NO_COLOR", nil, "NO_COLOR=1", false},
		{"dumb terminal", nil, "TERM=dumb", false},
		{"never", []string{"--color=never"}, "", false},
		{"always, whatever NO_COLOR says", []string{"--color=always"}, "NO_COLOR=1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := program(t, append([]string{"-v", "backup", src, dest}, tt.args...)...)
			cmd.Env = append(cmd.Env, tt.env)
			if got := strings.Contains(onTerminal(t, 80, cmd), "\x1b[92m"); got != tt.want {
				t.Errorf("colours: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	testbin.HearHangup()
	dest, src := newDest(t), source(t, 100)
	for _, tt := range []struct {
		name    string
		signals []syscall.Signal
		want    int
	}{
		{"hangup", []syscall.Signal{syscall.SIGHUP}, 129},
		{"Ctrl-C", []syscall.Signal{syscall.SIGINT}, 130},
		{"terminated", []syscall.Signal{syscall.SIGTERM}, 143},
		{"a second one does not cut the end short", []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT}, 130},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := program(t, "-v", "backup", src, dest, "--bwlimit=500k")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				text.WriteString(lines.Text() + "\n")
				if !strings.Contains(lines.Text(), "backup started") {
					continue
				}
				copying(t, dest)
				for _, s := range tt.signals {
					if err := cmd.Process.Signal(s); err != nil {
						t.Error(err)
					}
					time.Sleep(5 * time.Millisecond) // or two of one kind become one
				}
			}
			err = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tt.want {
				t.Fatalf("exit %d (%v), want %d\n%s", got, err, tt.want, &text)
			}
			if !strings.Contains(text.String(), "interrupted: got SIG") ||
				!strings.Contains(text.String(), "\nhint: to resume: rsbtbackup -v backup "+src) {
				t.Errorf("stderr: %s", &text)
			}
		})
	}
	if out, err := program(t, "backup", src, dest).CombinedOutput(); err != nil || !strings.Contains(string(out), "resumed") {
		t.Errorf("the next run: %v\n%s", err, out)
	}
}

// copying waits until there is something to resume.
func copying(t *testing.T, dest string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if files, _ := filepath.Glob(filepath.Join(dest, "pending", "file*")); len(files) > 0 {
			return
		}
	}
	t.Error("rsync copies nothing")
}

// A reader that ends does not change the result for DEST; a list that nobody reads is a failure.
func TestStdoutClosed(t *testing.T) {
	dest, src := newDest(t), source(t, 1)
	for _, tt := range []struct {
		name string
		args []string
		want int
	}{
		{"backup", []string{"backup", src, dest}, 0},
		{"list", []string{"list", dest}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			defer w.Close()
			var stderr bytes.Buffer
			cmd := program(t, tt.args...)
			cmd.Stdout, cmd.Stderr = w, &stderr
			err = cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != tt.want || stderr.Len() > 0 {
				t.Errorf("exit %d (%v), want %d; stderr %q", got, err, tt.want, stderr.String())
			}
		})
	}
}

// Our own process stays small for any source.
func TestMemory(t *testing.T) {
	dest := newDest(t)
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), build(t), "backup", filepath.Join(strings.TrimSpace(string(root)), "src"), dest)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := make(chan int64)
	go func() { peak <- watchPeak(cmd.Process.Pid) }()
	got := <-peak
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %d KiB resident", got)
	if limit := int64(25 << 10); got == 0 || got > limit {
		t.Errorf("at most %d KiB resident, want up to %d", got, limit)
	}
}

// watchPeak reads, until the process has ended, how much of it was resident at once, in KiB. The kernel's own account,
// ru_maxrss, begins with the size of the process that started it.
func watchPeak(pid int) (peak int64) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, after, found := strings.Cut(string(status), "VmHWM:")
		if err != nil || !found { // a zombie has no memory
			return peak
		}
		var kib int64
		if _, err := fmt.Sscan(after, &kib); err == nil {
			peak = max(peak, kib)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// The first block of the README works as it stands, on a directory in the place of /etc and another DEST.
func TestReadmeBegins(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block, _, _ := strings.Cut(string(readme), "\nWhat it promises")
	dest, src := filepath.Join(loopfs.New(t, "512M"), "dest"), t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "hosts"), []byte("127.0.0.1 localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, line := range regexp.MustCompile(`(?m)^    # (.*)$`).FindAllStringSubmatch(block, -1) {
		own := strings.NewReplacer("/backup/localhost/etc", dest, "/etc", src).Replace(line[1])
		var out []byte
		if args, ours := strings.CutPrefix(own, "rsbtbackup "); ours {
			out, err = program(t, strings.Fields(args)...).CombinedOutput()
		} else {
			out, err = exec.CommandContext(t.Context(), "sh", "-c", own).CombinedOutput()
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", line[1], err, out)
		}
		ran++
	}
	if ran < 7 {
		t.Errorf("%d lines, want 7 or more", ran)
	}
}

// What the README shows to be typed about a backup of /etc works on one.
func TestReadmeExamples(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dest, src := newDest(t), filepath.Join(t.TempDir(), "etc")
	for _, add := range []string{"hosts", "ssh/sshd_config"} {
		path := filepath.Join(src, add)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(add), 0o644)); err != nil {
			t.Fatal(err)
		}
		if out, err := program(t, "backup", src, dest).CombinedOutput(); err != nil {
			t.Fatalf("backup: %v\n%s", err, out)
		}
	}
	examples := regexp.MustCompile(`(?m)^    rsbtbackup (.* DEST\b[^#\n]*)`).FindAllStringSubmatch(string(readme), -1)
	if len(examples) < 6 {
		t.Fatalf("%d examples, want 6 or more", len(examples))
	}
	own := strings.NewReplacer("DEST", dest, "/tmp/", t.TempDir()+"/")
	for _, example := range examples {
		if out, err := program(t, strings.Fields(own.Replace(example[1]))...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", example[1], err, out)
		}
	}
}

// program returns the command, run by the test binary.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asMain+"=1", "NO_COLOR=", "TERM=xterm")
	return cmd
}
