//go:build integration

package rsbtbackup_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	testfs "github.com/rsbtbackup/rsbtbackup/internal/loopfs" // architecture_test.go has a constant of that name
)

// TestExamples runs every example and compares what it prints, with a btrfs at /srv that nobody else sees.
func TestExamples(t *testing.T) {
	disk := testfs.New(t, "1G")
	files := func(content map[string]string) {
		for name, text := range content {
			name = filepath.Join(disk, "www", name)
			must(t, os.MkdirAll(filepath.Dir(name), 0o755))
			must(t, os.WriteFile(name, []byte(text), 0o644))
		}
	}
	must(t, os.MkdirAll(disk+"/backup/etc", 0o700))
	for _, name := range []string{"www", "web1"} {
		must(t, os.Mkdir(filepath.Join(disk, "backup", name), 0o700))
		_, err := rsbtbackup.Init(t.Context(), filepath.Join(disk, "backup", name), rsbtbackup.InitOptions{})
		must(t, err)
	}
	files(map[string]string{"index.html": "It works!\n", "css/site.css": ""})
	makeBackup(t, disk, 22)
	files(map[string]string{"index.html": "Welcome\n"})
	makeBackup(t, disk, 23)

	self, err := os.Executable()
	must(t, err)
	argv := append(testfs.Apart(t, disk), "sh", "-c", `mount --bind "$0" /srv && exec "$@"`, disk, self, "-test.v", "-test.run=^Example")
	examples := exec.Command(argv[0], argv[1:]...)
	examples.Env = append(os.Environ(), examplesRun+"=1")
	out, err := examples.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range exampleFunctions(t) {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run:\n%s", name, out)
		}
	}
}

func makeBackup(t *testing.T, disk string, day int) {
	t.Helper()
	_, err := rsbtbackup.Backup(context.Background(), rsbtbackup.BackupOptions{
		Source: disk + "/www", Dest: disk + "/backup/www", Now: time.Date(2026, 11, day, 9, 0, 0, 0, time.Local),
	})
	must(t, err)
}

// exampleFunctions finds those without an expected output too, which go test does not run.
func exampleFunctions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("example*_test.go")
	must(t, err)
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		for _, match := range regexp.MustCompile(`(?m)^func (Example\w*)\(\)`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, match[1])
		}
	}
	if len(names) == 0 {
		t.Error("there is no example")
	}
	return names
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
