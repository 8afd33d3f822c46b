//go:build integration

package replica

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// TestPipelines are those of the README, with what Debian has for them: a backup goes through another program, and
// comes back as it was.
func TestPipelines(t *testing.T) {
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	store := t.TempDir()
	testdest.Tool(t, "age-keygen", "-o", store+"/key")
	recipient := strings.TrimSpace(testdest.Tool(t, "age-keygen", "-y", store+"/key"))
	webdav := "rclone --config= --webdav-url=" + serveWebDAV(t) + " "
	for _, p := range []struct{ name, out, in string }{
		{"zstd", "zstd -q >STORE/NAME.zst", "zstd -qdc STORE/NAME.zst"},
		{"gpg", "gpg --batch --yes --pinentry-mode=loopback --passphrase x --symmetric -o STORE/NAME.gpg", "gpg --batch --quiet --pinentry-mode=loopback --passphrase x -d STORE/NAME.gpg"},
		{"age", "age -r " + recipient + " -o STORE/NAME.age", "age -d -i STORE/key STORE/NAME.age"},
		{"rclone", webdav + "rcat :webdav:etc/NAME", webdav + "cat :webdav:etc/NAME"},
		{"age and rclone", "age -r " + recipient + " | " + webdav + "rcat :webdav:secret/NAME", webdav + "cat :webdav:secret/NAME | age -d -i STORE/key"},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			target := testdest.New(t, "1G")
			for i, send := range []string{" latest~1", " latest --parent=latest~1"} {
				named := strings.NewReplacer("STORE", store, "NAME", fmt.Sprint(strings.ReplaceAll(p.name, " ", "-"), i))
				for _, line := range []string{
					"rsbtbackup send " + dest + send + " | " + named.Replace(p.out),
					named.Replace(p.in) + " | rsbtbackup receive " + target,
				} {
					if r := pipe(t, line); r.Exit != 0 {
						t.Fatalf("%s: exit %d\n%s", line, r.Exit, r.Stderr)
					}
				}
			}
			wantCopies(t, dest, target)
		})
	}
}

// serveWebDAV serves an empty directory and returns its address.
func serveWebDAV(t *testing.T) string {
	t.Helper()
	dir, addr := t.TempDir(), fmt.Sprint("127.0.0.1:", testserver.FreePort(t))
	server := exec.Command("rclone", "--config=", "serve", "webdav", dir, "--addr", addr)
	said, err := server.StderrPipe()
	testdest.Must(t, err)
	testdest.Must(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if strings.Contains(lines.Text(), "erver started on") {
			resp, err := http.Get("http://" + addr)
			testdest.Must(t, err)
			resp.Body.Close()
			return "http://" + addr
		}
	}
	t.Fatal("rclone does not serve")
	return ""
}

// TestAnArchiveThatWasDamaged in its store is refused by what its last line says, wherever the damage is, and so is one
// that lacks what it builds on, or was put together of two.
func TestAnArchiveThatWasDamaged(t *testing.T) {
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	store := t.TempDir()
	for i, send := range []string{" latest~1", " latest --parent=latest~1"} {
		if r := pipe(t, fmt.Sprintf("rsbtbackup send %s%s >%s/%d", dest, send, store, i)); r.Exit != 0 {
			t.Fatal(r.Stderr)
		}
	}
	read := func(i int) []byte {
		data, err := os.ReadFile(filepath.Join(store, fmt.Sprint(i)))
		testdest.Must(t, err)
		return data
	}
	first, second := read(0), read(1)
	flipped := append([]byte{}, first...)
	flipped[len(flipped)/2] ^= 1
	firstLine, _, _ := strings.Cut(string(first), "\n")
	_, secondRest, _ := strings.Cut(string(second), "\n")
	renamed := strings.Replace(string(first), `"host":"`, `"host":"x`, 1)
	for _, tt := range []struct {
		name, data string
		exit       int
		says       string
	}{
		{"a bit", string(flipped), 1, "checksum"},
		{"cut off", string(first[:len(first)-10]), 1, "ends too early"},
		{"its last line is gone", string(first[:strings.LastIndex(string(first), `{"sha256"`)]), 1, "ends too early"},
		{"its first line says something else", renamed, 1, "SHA-256"},
		{"of two", firstLine + "\n" + secondRest, 2, "not in this DEST"},
		{"without what it builds on", string(second), 2, "not in this DEST"},
		{"two in one", string(first) + string(second), 1, "there is data after its end"},
	} {
		path := filepath.Join(store, "bad")
		testdest.Must(t, os.WriteFile(path, []byte(tt.data), 0o600))
		r := pipe(t, "rsbtbackup receive "+target+" <"+path)
		if r.Exit != tt.exit || !strings.Contains(r.Stderr, tt.says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", tt.name, r.Exit, tt.exit, tt.says, r.Stderr)
		}
		if n := len(testdest.Backups(t, target)); n != 0 {
			t.Fatalf("%s: %d backups are there", tt.name, n)
		}
		wantNothingLeft(t, target)
	}
}
