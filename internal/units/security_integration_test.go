//go:build integration

package units

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// TestEveryServiceIsConfined: whatever jobs do, the service of root has the level 4.0 or better, and so has the mail
// about its failure.
func TestEveryServiceIsConfined(t *testing.T) {
	hooks, far := "hooks.before = [\"/usr/bin/dump\"]\n", "copy.far.target = \"root@vault:/b\"\n"
	services := map[string]string{"mail": Mail(false)}
	for name, text := range map[string]string{
		"local": local, "remote": remote, "hooks": local + hooks, "a copy elsewhere": local + far,
		"the whole system": "[job.a]\nsource = \"/\"\ndest = \"/backup/a\"\nexclude = [\"/backup\"]\n" + hooks + far,
		"in /home":         "[job.a]\nsource = \"/\"\ndest = \"/home\"\nexclude = [\"/home\"]\n" + hooks + far,
	} {
		services[name] = started(t, text).Service()
	}
	for name, service := range services {
		file := filepath.Join(t.TempDir(), "x.service")
		if err := os.WriteFile(file, []byte(service), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=100", "--no-pager", file).CombinedOutput()
		found := exposure.FindSubmatch(out)
		if err != nil || found == nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		if level, err := strconv.ParseFloat(string(found[1]), 64); err != nil || level > 4.0 {
			t.Errorf("%s: exposure %s, want 4.0 at most\n%s", name, found[1], out)
		}
		t.Logf("%s: %s", name, found[1])
	}
}
