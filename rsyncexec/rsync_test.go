package rsyncexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests run the installed rsync; one that is missing fails them.

func TestRsyncCopiesThroughAnInheritedDirectory(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/dir/file", "content")
	write(t, src+"/-x", "leading dash")
	write(t, dst+"/stale/gone", "to be deleted")
	if err := os.Symlink("dir/file", src+"/link"); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := os.Rename(dst, dst+".moved"); err != nil { // the path is of no use any more
		t.Fatal(err)
	}
	o := Options{Source: Source{Path: src}, Dest: "/proc/self/fd/3", ExtraFiles: []*os.File{dir},
		HardLinks: true, Inplace: true, Delete: true}
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, dst+".moved/dir/file"); got != "content" {
		t.Errorf("content is %q", got)
	}
	if _, err := os.Lstat(dst + ".moved/stale"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("deleted file: %v", err)
	}
	s := result.Stats
	if !result.HaveStats || s.Files != 5 || s.RegularFiles != 2 || s.Directories != 2 || s.Symlinks != 1 || s.Transferred != 2 || s.Deleted != 2 || s.TotalSize == 0 {
		t.Errorf("statistics: %v %+v", result.HaveStats, s)
	}
	if result.Version.Less(MinVersion()) || !filepath.IsAbs(result.Program) {
		t.Errorf("program %s, version %v", result.Program, result.Version)
	}
	if err := os.RemoveAll(dst + ".moved"); err != nil {
		t.Error(err)
	}
}

// Local sources that rsync would take for a host or an option, were they not absolute.
func TestRsyncTakesAnyLocalPath(t *testing.T) {
	for _, name := range []string{"a:b", "host::m", "-n", "--delete", "with space", "new\nline", "sta*r", "[x]", `back\slash`, "~", "$HOME", "ünï\xff"} {
		src, dst := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), name)
		write(t, src+"/ok", name)
		mkdir(t, dst)
		if _, err := Run(t.Context(), Options{Source: Source{Path: src}, Dest: dst}); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := read(t, dst+"/ok"); got != name {
			t.Errorf("%q: content %q", name, got)
		}
	}
}

// oddNames are directories beside which stands a decoy that an expanded wildcard, a shell or a dropped backslash finds.
var oddNames = []struct{ name, decoy string }{
	{"plain", ""}, {"a b", "a"}, {"it's", "its"}, {`q"uote`, "quote"}, {"$HOME", ""}, {"`id`", ""}, {"$(id)", ""}, {"a;b", "a"}, {"a&b", "a"},
	{"pl*in", "plain2in"}, {"q?", "qx"}, {"[x]", "x"}, {"x]y", "xy"}, {`b\s`, "bs"}, {`b\s/pl*in`, "bs/plain"}, {`b*\*s/x`, "bb*s/x"},
	{`b\*/c\d`, "bx/cd"}, {`end\`, "end"}, {`*\`, `x\`}, {"new\nline", "new"}, {"{a,b}", "a"}, {"#h", ""}, {"!h", ""}, {"-n", ""}, {"--delete", ""},
	{"~", ""}, {"a:b", "a"}, {"ünï", ""}, {"a>b", "a"}, {"a|b", "a"}, {"tab\tx", "tab"},
}

// A remote path arrives as it is: through a remote shell that hands its words to sh, as ssh does, and at a daemon.
func TestRsyncTakesAnyRemotePath(t *testing.T) {
	root := t.TempDir()
	shell, daemon := remoteShell(t, root), remoteDaemon(t, root)
	for _, test := range oddNames {
		write(t, filepath.Join(root, test.name, "ok"), test.name)
		if test.decoy != "" {
			write(t, filepath.Join(root, test.decoy, "decoy"), "")
		}
	}
	for _, test := range oddNames {
		sources := map[string]string{shell: "host:" + root + "/" + test.name, daemon: "host::m/" + test.name}
		for rsh, text := range sources {
			fetchOne(t, rsh, text, test.name)
		}
		if strings.HasPrefix(test.name, "-") || strings.HasPrefix(test.name, "pl") {
			fetchOne(t, shell, "host:"+test.name, test.name) // relative to the home directory
		}
	}
}

func fetchOne(t *testing.T, rsh, text, name string) {
	t.Helper()
	src, err := ParseSource(text)
	if err != nil {
		t.Errorf("%q: %v", text, err)
		return
	}
	dst := t.TempDir()
	if _, err := Run(t.Context(), Options{Source: src, Dest: dst, Rsh: rsh}); err != nil {
		t.Errorf("%q: %v", text, err)
		return
	}
	if got, err := os.ReadFile(dst + "/ok"); err != nil || string(got) != name {
		t.Errorf("%q: content %q, %v", text, got, err)
	}
	if _, err := os.Stat(dst + "/decoy"); err == nil {
		t.Errorf("%q: the decoy came along", text)
	}
}

// remoteShell is a stand-in for ssh: it drops the host and gives the joined words to a shell, in root.
func remoteShell(t *testing.T, root string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rsh")
	write(t, path, "#!/bin/sh\ncd '"+root+"' || exit 1\nshift\nexec sh -c \"$*\"\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// remoteDaemon is a shell through which rsync finds a daemon with the module m.
func remoteDaemon(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	global := "use chroot = no\n"
	if os.Getuid() == 0 {
		global += "uid = 0\ngid = 0\n"
	}
	write(t, dir+"/rsyncd.conf", global+"[m]\npath = "+root+"\n")
	write(t, dir+"/rsh", "#!/bin/sh\nexec rsync --server --daemon --config='"+dir+"/rsyncd.conf' .\n")
	if err := os.Chmod(dir+"/rsh", 0o700); err != nil {
		t.Fatal(err)
	}
	return dir + "/rsh"
}

// A plain path goes without -s, which rrsync, the usual guard of a backup account, refuses.
func TestPlainRemotePathNeedsNoSecludedArgs(t *testing.T) {
	for text, want := range map[string]bool{"h:/srv/a-b_c.d": false, "h:": false, "h:/a b": true, "h:*": true, "h:ü": true, "/a b": false, "h::m/a b": false} {
		src, err := ParseSource(text)
		if err != nil || src.needsSecludedArgs() != want {
			t.Errorf("%q: %v, %v", text, src.needsSecludedArgs(), err)
		}
	}
}

// rsync flushes its progress after every update, also into a pipe: --outbuf is not needed.
func TestRsyncProgressIsTimely(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/big", strings.Repeat("x", 3<<20))
	write(t, src+"/small", "x")
	var first time.Time
	var last Progress
	n := 0
	o := Options{Source: Source{Path: src}, Dest: t.TempDir(), Bwlimit: "2000", FileList: true}
	o.Progress = func(p Progress) {
		if first.IsZero() {
			first = time.Now()
		}
		n, last = n+1, p
	}
	var lines []string
	o.Line = func(stream, line string) { lines = append(lines, stream+" "+line) }
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if n < 2 || result.Ended.Sub(first) < 200*time.Millisecond {
		t.Errorf("%d updates, the first %v before the end", n, result.Ended.Sub(first))
	}
	if last.Bytes != 3<<20+1 || last.Percent != 100 || last.Transferred != 2 || last.Total != 3 || last.ToCheck != 0 {
		t.Errorf("last update: %+v", last)
	}
	if want := []string{"stdout sending incremental file list"}; !slices.Equal(lines, want) {
		t.Errorf("lines: %q, want %q", lines, want)
	}
}

func TestRsyncFailures(t *testing.T) {
	banner := filepath.Join(t.TempDir(), "rsh")
	write(t, banner, "#!/bin/sh\necho 'user@host: Permission denied (publickey).' >&2\nexit 255\n")
	if err := os.Chmod(banner, 0o700); err != nil {
		t.Fatal(err)
	}
	remote := Source{Kind: Shell, Host: "host", Path: "/x"}
	const anyCode = 0 // 255 or 14, but 12 when rsync notices the closed connection before the exit status
	tests := []struct {
		name string
		o    Options
		code int
		text string
	}{
		{"source missing", Options{Source: Source{Path: "/nonexistent"}, Dest: t.TempDir()}, ExitPartial, `exit 23): rsync: [sender] change_dir "/nonexistent" failed: No such file or directory (2)`},
		{"destination's parent missing", Options{Source: Source{Path: t.TempDir()}, Dest: "/nonexistent/a/b"}, ExitFileIO, "exit 11): rsync"},
		{"ssh refused", Options{Source: remote, Dest: t.TempDir(), Rsh: banner}, anyCode, "): user@host: Permission denied (publickey)."},
		{"no remote shell", Options{Source: remote, Dest: t.TempDir(), Rsh: "/nonexistent/ssh"}, anyCode, "/nonexistent/ssh"},
		{"unknown module", Options{Source: Source{Kind: Daemon, Host: "host", Module: "nosuch"}, Dest: t.TempDir(), Rsh: remoteDaemon(t, t.TempDir())}, ExitStartClient, "exit 5): @ERROR: Unknown module"},
		{"unknown filter rule", Options{Source: Source{Path: t.TempDir()}, Dest: t.TempDir(), Filter: []string{"nonsense x"}}, ExitSyntax, "exit 1): Unknown filter rule: "},
		{"wrong value", Options{Source: remote, Dest: t.TempDir(), Bwlimit: "fast"}, ExitSyntax, "exit 1): "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result, err := Run(t.Context(), test.o)
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Code != test.code && test.code != anyCode || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error is %v, want exit %d and %q\nstderr:\n%s", err, test.code, test.text, result.Tail)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
		})
	}
}

// Cancelled midway: all three processes of a local copy are gone when Run returns, and so is the temporary file.
func TestRsyncCancelledLeavesNoProcess(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/big", strings.Repeat("x", 8<<20))
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Source: Source{Path: src}, Dest: dst, Bwlimit: "1000"}
	// A line that rsync had written before it was cancelled may come after.
	o.Progress = func(Progress) {
		if n := processesNaming(t, dst); ctx.Err() == nil && n < 2 {
			t.Errorf("only %d processes while it runs", n)
		}
		cancel()
	}
	_, err := Run(ctx, o)
	var exit *ExitError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &exit) || exit.Code != ExitSignal {
		t.Errorf("error is %v", err)
	}
	if n := processesNaming(t, dst); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if left, err := os.ReadDir(dst); err != nil || len(left) != 0 {
		t.Errorf("left in the destination: %v, %v", left, err)
	}
}

// The caller is killed without any chance to clean up: the kernel ends rsync.
func TestRsyncDiesWithItsParent(t *testing.T) {
	if os.Getenv("RSYNCEXEC_PARENT") != "" {
		o := Options{Source: Source{Path: os.Getenv("RSYNCEXEC_SOURCE")}, Dest: os.Getenv("RSYNCEXEC_PARENT"), Bwlimit: "1000"}
		o.Progress = func(Progress) { fmt.Println("running") }
		_, _ = Run(t.Context(), o)
		return
	}
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/big", strings.Repeat("x", 20<<20))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "-test.run=^TestRsyncDiesWithItsParent$", "-test.v")
	parent.Env = append(os.Environ(), "RSYNCEXEC_PARENT="+dst, "RSYNCEXEC_SOURCE="+src)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	awaitText(t, out, "running")
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	for end := time.Now().Add(10 * time.Minute); processesNaming(t, dst) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d processes of rsync outlive their parent", processesNaming(t, dst))
		}
	}
}

func awaitText(t *testing.T, r interface{ Read([]byte) (int, error) }, text string) {
	t.Helper()
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(got, []byte(text)) {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("waiting for %q: %v; got %q", text, err, got)
		}
		got = append(got, buf[:n]...)
	}
}

// processesNaming counts the processes, zombies not, whose argument vector holds this path.
func processesNaming(t *testing.T, path string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		cmdline, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		if bytes.Contains(cmdline, []byte(path)) {
			n++
		}
	}
	return n
}

// An alias in ~/.popt would make -a lose times and links. It is refused.
func TestRsyncAliasIsRefused(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	o := Options{Source: Source{Path: t.TempDir()}, Dest: t.TempDir()}
	write(t, home+"/.popt", "rsync alias -a -r\n")
	var alias *AliasError
	if _, err := Run(t.Context(), o); !errors.As(err, &alias) {
		t.Errorf("error is %v", err)
	}
	write(t, home+"/.popt", "rsync alias -a -a@-1\n")
	if _, err := Run(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// The user may choose when rsync deletes.
func TestRsyncDeleteTimingIsFree(t *testing.T) {
	for _, when := range []string{"--delete-before", "--delete-during", "--delete-delay", "--delete-after", "--del"} {
		dst := t.TempDir()
		write(t, dst+"/gone", "")
		if _, err := Run(t.Context(), Options{Source: Source{Path: t.TempDir()}, Dest: dst, Delete: true, Extra: []string{when}}); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if _, err := os.Stat(dst + "/gone"); err == nil {
			t.Errorf("%s: nothing was deleted", when)
		}
	}
}

// TestRsyncsDebuggingIsNotPassedOn: what rsync says because of Written is no message of its work.
func TestRsyncsDebuggingIsNotPassedOn(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/file", "x")
	var said []string
	o := Options{Source: Source{Path: src}, Dest: dst, Written: func() {}, Line: func(_, line string) { said = append(said, line) }}
	if _, err := Run(t.Context(), o); err != nil || len(said) > 0 {
		t.Errorf("error %v, lines %q", err, said)
	}
}

// TestRsyncSaysWhenAllIsWritten: nothing is written after that, not even the times of directories.
func TestRsyncSaysWhenAllIsWritten(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	for i := range 300 {
		dir := filepath.Join(src, fmt.Sprintf("dir%02d", i/10))
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("content"), 0o644))
		must(t, os.Chtimes(dir, time.Time{}, time.Unix(1e9, 0)))
	}
	must(t, os.WriteFile(filepath.Join(dst, "gone"), nil, 0o644))
	var then []string
	calls := 0
	o := Options{Source: Source{Path: src}, Dest: dst, Delete: true, DryRun: true, Written: func() {
		calls++
		then = treeAndTimes(t, dst)
	}}
	if _, err := Run(t.Context(), o); err != nil || calls != 0 {
		t.Fatalf("a dry run: %d calls, %v", calls, err)
	}
	o.DryRun = false
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if calls != 1 {
		t.Errorf("it was said %d times", calls)
	}
	if now := treeAndTimes(t, dst); len(now) != 331 || !slices.Equal(then, now) {
		t.Errorf("%d entries; changed after all was written: %v", len(now), !slices.Equal(then, now))
	}
}

func treeAndTimes(t *testing.T, root string) (all []string) {
	must(t, filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			all = append(all, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime()))
		}
		return err
	}))
	return all
}
