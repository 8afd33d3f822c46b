//go:build integration

package machine

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// start runs a program until the test ends, and returns once it has printed a line.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go io.Copy(io.Discard, lines)
}

// NetworkManager is asked over a real bus, by a real busctl; what answers is a program of the test. Without bus, or
// without NetworkManager, a link is not paid by volume.
func TestMetered(t *testing.T) {
	bus := "unix:path=" + filepath.Join(t.TempDir(), "bus")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
	if Metered(t.Context()) {
		t.Error("without a bus: metered")
	}
	start(t, "dbus-daemon", "--session", "--nofork", "--print-address", "--address="+bus)
	if Metered(t.Context()) {
		t.Error("without NetworkManager: metered")
	}
	for value, want := range []bool{false, true, false, true, false} {
		t.Run(strconv.Itoa(value), func(t *testing.T) {
			start(t, "/usr/bin/python3", "testdata/networkmanager.py", strconv.Itoa(value))
			if got := Metered(t.Context()); got != want {
				t.Errorf("Metered is %v", got)
			}
		})
	}
}
