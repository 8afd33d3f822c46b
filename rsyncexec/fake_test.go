package rsyncexec

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The fake rsync is this test binary behind a script that names a behaviour; see fake.
const fakeEnv = "RSYNCEXEC_FAKE"

// atOnce lets a fake end when it ends: a program with the race detector waits for a second otherwise, and a run starts
// two fakes.
const atOnce = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(fakeEnv); behaviour != "" {
		os.Exit(runFake(strings.Fields(behaviour), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// fake makes a program that behaves as told:
//
//	exit N          complains on stderr and exits N
//	signal N        kills itself
//	flood BYTES     writes that much to both streams, without a newline
//	lines N         writes N numbered lines to stdout, then statistics
//	sleep MS        exits 0 after that time, 20 on SIGTERM as rsync does
//	stubborn MS     the same, but ignores SIGTERM
//	leave MS        exits 0 at once and leaves a child that holds every descriptor
//	version V       says that it is that version
//	env             prints its environment and its descriptors
func fake(t *testing.T, behaviour string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rsync")
	script := fmt.Sprintf("#!/bin/sh\n%s %s='%s' exec '%s' \"$@\"\n", atOnce, fakeEnv, behaviour, self)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func runFake(behaviour, args []string) int {
	kind, number := behaviour[0], 0
	if len(behaviour) > 1 {
		number, _ = strconv.Atoi(behaviour[1])
	}
	if len(args) == 1 && args[0] == "--version" {
		version := "3.5.0"
		if kind == "version" {
			version = behaviour[1]
		}
		fmt.Printf("rsync  version %s  protocol version 32\n", version)
		return 0
	}
	switch kind {
	case "exit":
		fmt.Fprintf(os.Stderr, "rsync: [sender] fake failure \\#012 number %d\n", number)
		return number
	case "signal":
		_ = syscall.Kill(os.Getpid(), syscall.Signal(number))
		time.Sleep(time.Minute)
	case "flood":
		block := bytes.Repeat([]byte("x"), 1<<20)
		for range number >> 20 {
			_, _ = os.Stdout.Write(block)
			_, _ = os.Stderr.Write(block)
		}
	case "lines":
		for i := range number {
			fmt.Printf(">f+++++++++ file%d\n", i)
		}
		fmt.Print(statsSample)
	case "sleep":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready", os.Getpid())
		select {
		case <-stop:
			return 20
		case <-time.After(time.Duration(number) * time.Millisecond):
		}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready", os.Getpid())
		time.Sleep(time.Duration(number) * time.Millisecond)
	case "leave":
		self, _ := os.Executable()
		child := exec.Command(self)
		child.Env = []string{atOnce, fakeEnv + "=stubborn " + behaviour[1]}
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.ExtraFiles = []*os.File{os.NewFile(3, "3")}
		if err := child.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "rsync: fake:", err)
			return 1
		}
		fmt.Println("ready", child.Process.Pid)
	case "env":
		for _, v := range os.Environ() {
			fmt.Println(v)
		}
	}
	return 0
}

const statsSample = `
Number of files: 303 (reg: 301, dir: 1, link: 1)
Number of created files: 303 (reg: 301, dir: 1, link: 1)
Number of deleted files: 7
Number of regular files transferred: 300
Total file size: 6020001 bytes
Total transferred file size: 6000000 bytes
Literal data: 5999000 bytes
Matched data: 1000 bytes
File list size: 0
File list generation time: 0.001 seconds
File list transfer time: 0.000 seconds
Total bytes sent: 6018088
Total bytes received: 5740

sent 6018088 bytes  received 5740 bytes  12047656.00 bytes/sec
total size is 6020001  speedup is 1.00
`
