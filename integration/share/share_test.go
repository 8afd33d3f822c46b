//go:build integration

// Package share fetches previous versions as Windows does: from a real smbd, by smbclient.
package share

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// zone is one that no machine with a test has, and whose offset is no whole hour.
const zone = "Pacific/Chatham"

func TestMain(m *testing.M) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	time.Local = loc
	os.Exit(testbin.Main(m))
}

type world struct {
	t         *testing.T
	src, dest string
}

func newWorld(t *testing.T) world {
	t.Helper()
	dir := loopfs.New(t, "256M")
	w := world{t, filepath.Join(dir, "data"), filepath.Join(dir, "dest")}
	for _, d := range []string{dir, w.src, w.src + "/sub", w.dest} {
		w.must(os.MkdirAll(d, 0o755))
		w.must(os.Chmod(d, 0o755))
	}
	_, err := rsbtbackup.Init(t.Context(), w.dest, rsbtbackup.InitOptions{})
	w.must(err)
	return w
}

func (w world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w world) write(name, text string) {
	w.t.Helper()
	w.must(os.WriteFile(filepath.Join(w.src, name), []byte(text), 0o644))
}

// backup makes one that begins so many minutes after 09:00.
func (w world) backup(minutes float64) {
	w.t.Helper()
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.Local).Add(time.Duration(minutes * float64(time.Minute)))
	_, err := rsbtbackup.Backup(w.t.Context(), rsbtbackup.BackupOptions{Source: w.src, Dest: w.dest, Now: at})
	w.must(err)
}

type shared struct {
	Name, Path, Source        string
	Stanza, Unshown, Warnings []string
	Backups                   int
}

func (w world) share(args ...string) shared {
	w.t.Helper()
	r := testbin.RunEnv(w.t, []string{"TZ=" + zone}, append([]string{"share", w.dest, "--json"}, args...)...)
	if r.Exit != 0 {
		w.t.Fatalf("exit %d: %s", r.Exit, r.Stderr)
	}
	var s shared
	w.must(json.Unmarshal([]byte(r.Stdout), &s))
	return s
}

// public is the stanza, for everybody.
func (s shared) public() string { return strings.Join(s.Stanza, "\n") + "\n\tguest ok = yes\n" }

// versions are those that allinfo lists.
func versions(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "@GMT-") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// The versions of a file are listed by Samba under the times of the backups, and each can be fetched.
func TestPreviousVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("report.txt", "first")
	w.write("sub/gone", "was there")
	w.backup(0)
	w.write("report.txt", "second one")
	w.must(os.Remove(w.src + "/sub/gone"))
	w.backup(1)
	w.write("report.txt", "third, now")
	whole, below, all := w.share(), w.share("--path="+w.src+"/sub", "--name=Just Below"), w.share("--browse", "--name=all")
	if whole.Name != "data" || whole.Source != w.src || whole.Backups != 2 || len(whole.Unshown)+len(whole.Warnings) > 0 {
		t.Errorf("%+v", whole)
	}
	smb := testserver.StartSamba(t, whole.public()+below.public()+all.public(), "TZ="+zone)
	const first, second = "@GMT-2026.11.22-19.15.00", "@GMT-2026.11.22-19.16.00" // 13:45 before local time
	fetched := filepath.Join(t.TempDir(), "fetched")
	for _, tt := range []struct{ share, path, want string }{
		{"data", "report.txt", "third, now"},
		{"data", first + "/report.txt", "first"},
		{"data", second + "/report.txt", "second one"},
		{"data", first + "/sub/gone", "was there"},
		{"Just Below", first + "/gone", "was there"},
		{"all", "2026-11-23-09\ua78900/report.txt", "first"},
		{"all", "2026-11-23-09\ua78901/report.txt", "second one"},
	} {
		out := smb.Client(t, tt.share, `get "`+tt.path+`" `+fetched)
		if got, err := os.ReadFile(fetched); err != nil || string(got) != tt.want {
			t.Errorf("%s of %s: %q, %v, want %q\n%s", tt.path, tt.share, got, err, tt.want, out)
		}
		_ = os.Remove(fetched)
	}
	if out := smb.Client(t, "data", "allinfo report.txt"); strings.Join(versions(out), " ") != second+" "+first {
		t.Errorf("versions:\n%s", out)
	}
	if out := smb.Client(t, "data", `get `+second+`/sub/gone `+fetched); !strings.Contains(out, "NOT_FOUND") {
		t.Errorf("a file that was deleted before: %s", out)
	}
	for _, command := range []string{"put /etc/hostname " + first + "/new", "del " + first + "/report.txt"} {
		if out := smb.Client(t, "data", command); !strings.Contains(out, "NT_STATUS_") {
			t.Errorf("%s went well: %s", command, out)
		}
	}
}

// The command names what Windows will not show, and Samba behaves like that.
func TestWhatKeepsVersionsFromBeingShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("report.txt", "first")
	w.backup(0)
	w.backup(0.5)
	w.must(os.Chmod(w.dest, 0o711))
	s := w.share()
	if s.Backups != 1 || len(s.Unshown) != 1 || s.Unshown[0] != "2026-11-23-09:00:30" {
		t.Errorf("%+v", s)
	}
	if text := strings.Join(s.Warnings, "\n"); !strings.Contains(text, "have seconds") || !strings.Contains(text, "chmod o+rx "+w.dest) {
		t.Errorf("warnings: %s", text)
	}
	smb := testserver.StartSamba(t, s.public(), "TZ="+zone)
	if out := smb.Client(t, "data", "allinfo report.txt"); len(versions(out)) != 0 || !strings.Contains(out, "write_time") {
		t.Errorf("DEST 0711 is open:\n%s", out)
	}
	w.must(os.Chmod(w.dest, 0o755))
	if out := smb.Client(t, "data", "allinfo report.txt"); len(versions(out)) == 0 {
		t.Errorf("DEST 0755 is closed:\n%s", out)
	}
}
