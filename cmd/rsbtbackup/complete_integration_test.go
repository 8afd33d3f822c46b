//go:build integration

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A shell that somebody sits at. Two things are known of it without reading the screen, which is full of cursor
// movement: Ctrl-G makes it write its command line to a FIFO, and the command args its arguments.
type shell struct {
	name   string
	argv   []string
	script string // where its users put ours
	rc     string

	keys    *os.File
	told    *os.File
	read    *bufio.Reader
	awaited int // how often
}

func shells() []*shell {
	bash := []string{"bash", "--noprofile", "--rcfile", ".rc", "-i"}
	const bashRC = `
bind -x '"\C-g": printf "%s\0" "$READLINE_LINE" >$TOLD'
args() { { printf '%s\n' "$@"; printf '\0'; } >$TOLD; }
`
	return []*shell{
		{name: "bash", argv: bash, script: "completion", rc: "source ./completion" + bashRC},
		{name: "bash that keeps colons", argv: bash, script: "completion", rc: "COMP_WORDBREAKS=${COMP_WORDBREAKS//:}; source ./completion" + bashRC},
		{name: "bash-completion", argv: bash, script: "bash-completion/completions/rsbtbackup", rc: "source /usr/share/bash-completion/bash_completion" + bashRC},
		{name: "zsh", argv: []string{"zsh", "-d", "-i"}, script: "_rsbtbackup", rc: `
fpath=($PWD $fpath)
autoload -Uz compinit && compinit -u -D
unsetopt auto_list
tell() { print -rn -- "$BUFFER"$'\0' >$TOLD }
zle -N tell
bindkey -e
bindkey '^G' tell
args() { { print -rl -- "$@"; print -n '\0' } >$TOLD }
`},
		{name: "fish", argv: []string{"fish", "-i", "-C", "source .rc"}, script: "fish/completions/rsbtbackup.fish", rc: `
bind \cg 'begin; commandline; printf "\0"; end >$TOLD'
function args; begin; printf '%s\n' $argv; printf '\0'; end >$TOLD; end
`},
	}
}

// start waits until the shell takes commands.
func (s *shell) start(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	script, err := exec.CommandContext(t.Context(), binary, "completion", s.argv[0]).Output()
	told := filepath.Join(dir, ".told")
	err = errors.Join(err,
		os.MkdirAll(filepath.Dir(filepath.Join(dir, s.script)), 0o755),
		os.WriteFile(filepath.Join(dir, s.script), script, 0o644),
		os.WriteFile(filepath.Join(dir, ".rc"), []byte(s.rc), 0o644),
		os.WriteFile(filepath.Join(dir, ".zshrc"), []byte(s.rc), 0o644),
		os.Mkdir(filepath.Join(dir, "some dir"), 0o755),
		unix.Mkfifo(told, 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	if s.told, err = os.OpenFile(told, os.O_RDWR, 0); err != nil { // for writing too, so that it never ends
		t.Fatal(err)
	}
	t.Cleanup(func() { s.told.Close() })
	s.read = bufio.NewReader(s.told)

	cmd := exec.CommandContext(t.Context(), s.argv[0], s.argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "ZDOTDIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "TOLD="+told,
		"PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "TERM=xterm", "LC_ALL=C.UTF-8")
	s.onTerminal(t, cmd)
	s.await(t)
}

// await returns when the shell accepts commands. Other keys pressed before that may be lost or changed by the terminal.
func (s *shell) await(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(shellTime); time.Now().Before(end); {
		s.awaited++
		mark := fmt.Sprint("mark", s.awaited)
		s.press(t, "\x15"+mark+"\a")
		for got, ok := s.tells(t, time.Second); ok; got, ok = s.tells(t, time.Second) {
			if got == mark {
				return
			}
		}
	}
	t.Fatal("the shell does not take commands")
}

// onTerminal starts the shell on a terminal, whose screen is of interest only after a failure.
func (s *shell) onTerminal(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	person, tty := openPty(t, 200)
	s.keys = person
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; run: make setup", err)
	}
	tty.Close()
	screen := make(chan string, 1)
	go func() {
		var text strings.Builder
		// It ends with EIO when the shell does.
		_, _ = bufio.NewReader(person).WriteTo(&text)
		screen <- text.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
		if text := <-screen; t.Failed() {
			t.Logf("the screen: %q", text)
		}
	})
}

func (s *shell) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// shellTime is for a machine that is busy.
const shellTime = 10 * time.Minute

func (s *shell) tells(t *testing.T, within time.Duration) (string, bool) {
	t.Helper()
	if err := s.told.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	text, err := s.read.ReadString(0)
	return strings.TrimSuffix(strings.TrimSuffix(text, "\x00"), "\n"), err == nil
}

func (s *shell) answers(t *testing.T, typed string) string {
	t.Helper()
	text, ok := s.tells(t, shellTime)
	if !ok {
		t.Fatalf("the shell tells nothing after %s", typed)
	}
	return text
}

// completes returns what the Tab key makes of a command line. One that is to change may not do so for once: on a
// machine so busy that the answer takes longer than answerTime.
func (s *shell) completes(t *testing.T, typed string, changes bool) string {
	t.Helper()
	line := typed
	for try := 0; try == 0 || changes && line == typed && try < 5; try++ {
		s.press(t, "\x15"+typed+"\t\a")
		line = s.answers(t, typed)
	}
	return line
}

// understands returns the last of the arguments that the shell takes the completed line for, once the user has typed
// the end of it.
func (s *shell) understands(t *testing.T, typed string, changes bool, end string) string {
	t.Helper()
	s.completes(t, typed, changes)
	s.press(t, end+"\x01args \r")
	arguments := strings.Split(s.answers(t, typed), "\n")
	s.await(t)
	return arguments[len(arguments)-1]
}

func TestShellsComplete(t *testing.T) {
	binary, dest := build(t), newDest(t)
	src := t.TempDir()
	for _, name := range []string{"my file", "my dir/file", "ssh/sshd_config"} {
		path := filepath.Join(src, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	backup := oneBackup(t, src, dest)
	_, afterColon, _ := strings.Cut(backup, ":")
	for _, s := range shells() {
		t.Run(s.name, func(t *testing.T) {
			s.start(t, binary)
			for _, tt := range []struct{ typed, want string }{
				{"rsbtbackup restor", "rsbtbackup restore "},
				{"rsbtbackup ls --recur", "rsbtbackup ls --recursive "},
				{"rsbtbackup ls --colo", "rsbtbackup ls --color="},
				{"rsbtbackup ls --color=al", "rsbtbackup ls --color=always "},
				{"rsbtbackup ls --color al", "rsbtbackup ls --color always "},
				{"rsbtbackup ls DEST lat", "rsbtbackup ls DEST latest "},
				{"rsbtbackup ls DEST " + strings.TrimSuffix(backup, afterColon), "rsbtbackup ls DEST " + backup + " "},
				{"rsbtbackup ls DEST " + backup[:len(backup)-1], "rsbtbackup ls DEST " + backup + " "},
				{"rsbtbackup restore -n DEST latest ss", "rsbtbackup restore -n DEST latest ssh/"},
				{"rsbtbackup restore -n DEST latest ssh/", "rsbtbackup restore -n DEST latest ssh/sshd_config "},
				{"rsbtbackup history DEST my\\ f", "rsbtbackup history DEST my\\ file "},
				{"rsbtbackup ls DEST latest my\\ d", "rsbtbackup ls DEST latest my\\ dir/"},
				{"rsbtbackup ls DEST latest my", "rsbtbackup ls DEST latest my\\ "},
				{"rsbtbackup restore DEST latest --target=some", "rsbtbackup restore DEST latest --target=some\\ dir/"},
				{"rsbtbackup restore DEST latest --target some", "rsbtbackup restore DEST latest --target some\\ dir/"},
				{"rsbtbackup init some", "rsbtbackup init some\\ dir/"},
				{"rsbtbackup ls DEST latest >som", "rsbtbackup ls DEST latest >some\\ dir/"},
				// Nothing of ours.
				{"rsbtbackup ls DEST 1999-01-01-00:00 my", "rsbtbackup ls DEST 1999-01-01-00:00 my"},
				{"rsbtbackup ls DEST/none lat", "rsbtbackup ls DEST/none lat"},
				{"rsbtbackup backup /etc DEST -- --exc", "rsbtbackup backup /etc DEST -- --exc"},
				{"rsbtbackup rotate DEST 3", "rsbtbackup rotate DEST 3"},
			} {
				at := strings.NewReplacer("DEST", dest)
				typed, want := at.Replace(tt.typed), at.Replace(tt.want)
				if got := s.completes(t, typed, typed != want); got != want {
					t.Errorf("%s:\n got %s\nwant %s", typed, got, want)
				}
			}
		})
	}
}

// oneBackup returns its name.
func oneBackup(t *testing.T, src, dest string) string {
	t.Helper()
	out, err := program(t, "backup", src, dest).Output()
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	name, _, _ := strings.Cut(string(out), " ")
	return name
}

// For any file name, the shell reads what it put on the command line as exactly that name.
func TestShellsCompleteHostileNames(t *testing.T) {
	binary, dest, src := build(t), newDest(t), t.TempDir()
	names := []string{
		"a b", "it's", `say "hi"`, "$HOME", "`id`", "$(id)", `back\slash`, `ends in\`, "semi;colon", "a|b&c", "star*", "what?", "[x]{y,z}", "ünïcode 日本",
		"#hash", "bang!x", "!!", "~", "~root", "-dash", "--help", "a:b=c@d", "c:", "d=", "par(1)", "<in>out", "^up", "%1", " lead", "trail ", "tab\there", "line\nbreak", "bad\xff", "bell\a",
	}
	for i, name := range names {
		dir := filepath.Join(src, fmt.Sprint("d", i+100))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, name), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"-dash", "~tilde"} {
		if err := os.WriteFile(filepath.Join(src, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	oneBackup(t, src, dest)
	for _, s := range shells() {
		t.Run(s.name, func(t *testing.T) {
			s.start(t, binary)
			check := func(typed, end, want string) {
				t.Helper()
				changes := !strings.HasSuffix(want, "/")
				if got := s.understands(t, "rsbtbackup ls "+dest+" latest "+typed, changes, end); got != want {
					t.Errorf("%s: the last argument is %q, want %q", typed, got, want)
				}
			}
			for i, name := range names {
				dir := fmt.Sprint("d", i+100) + "/"
				want := dir
				if isClean(name) {
					want += name
				}
				check(dir, "", want)
				for _, quote := range []string{"'", `"`} {
					end := ""
					if s.leavesOpen(name) {
						end = quote
					}
					check(quote+dir, end, want)
				}
			}
			check("./-", "", "./-dash")
			check("-- -", "", "-dash")
			check(`\~`, "", "~tilde")
		})
	}
}

// leavesOpen reports whether a shell leaves a quote open after name, as more is to follow. A name that is not offered
// is one, and fish has notions of its own.
func (s *shell) leavesOpen(name string) bool {
	return !isClean(name) || s.name == "fish" && strings.ContainsAny(name[len(name)-1:], ":=")
}
