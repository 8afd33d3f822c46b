//go:build integration

package verify

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// Data without checksums is read, but not verified: exit code, text and JSON say so, no backup is recorded as clean,
// and check and init warn. A backup can still be compared with its source.
func TestDataWithoutChecksumsIsNotVerified(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"nodatacow", "nodatasum"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, option)
			fresh := filepath.Join(s.image.Mount, "fresh")
			testdest.Must(t, os.Mkdir(fresh, 0o700))
			if r := testbin.Must(t, "init", fresh); !strings.Contains(r.Stderr, "is mounted with nodatacow or nodatasum") {
				t.Errorf("init: %s", r.Stderr)
			}
			s.write(t, "big", 300_000)
			s.write(t, "dir/other", 300_000)
			s.write(t, "small", 100)
			files := 3
			if option == "nodatacow" {
				files++ // which is never inline; inline data is in metadata, and has its checksum
			}
			s.write(t, "empty", 0)
			first := s.backup(t)
			s.write(t, "new", 300_000)
			second := s.backup(t)
			s.corrupt(t, first, "big", 65536)
			dropCaches(t)

			r := testbin.Run(t, "verify", s.dest)
			if r.Exit != 1 || strings.Contains(r.Stdout, "no damage") || !strings.Contains(r.Stdout, fmt.Sprintf("; %d not verified\n", files)) ||
				!strings.Contains(r.Stdout, "no checksums: dir/other in "+first) || !strings.Contains(r.Stdout, "no checksums: new in "+second) ||
				!strings.Contains(r.Stderr, "--against "+s.src) {
				t.Errorf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
			}
			report := s.report(t, "verify", s.dest)
			for _, b := range report.Backups {
				if b.Result != rsbtbackup.NotVerified {
					t.Errorf("%+v", b)
				}
			}
			if report.NotVerified != files || len(report.NotVerifiedFiles) != files || report.Damaged+report.Unread != 0 {
				t.Errorf("%+v", report)
			}
			if again := s.report(t, "verify", s.dest, "--new-only"); again.NotVerified != files {
				t.Errorf("--new-only: %+v", again)
			}
			if r := testbin.Must(t, "check", s.dest); !strings.Contains(r.Stdout, "WARN  mount") || !strings.Contains(r.Stdout, "WARN  verified  2 backups could not be verified") {
				t.Error(r.Stdout)
			}
			// Only against the source the damage shows.
			if r := testbin.Run(t, "verify", s.dest, first, "--against", s.src); r.Exit != 1 || !strings.Contains(r.Stdout, "big") {
				t.Errorf("exit %d\n%s", r.Exit, r.Stdout)
			}

			// An ordinary user knows how it is mounted.
			testdest.Must(t, os.Chmod(s.image.Mount, 0o755))
			testdest.Tool(t, "chown", "-R", fmt.Sprint(nobody), s.dest+"/.log")
			testdest.Must(t, os.Chown(s.dest, nobody, nobody))
			testdest.Tool(t, "chmod", "755", s.dest)
			if out, exit := runAs(t, nobody, "verify", s.dest, second); exit != 1 || !strings.Contains(out, "not verified") {
				t.Errorf("as an ordinary user: exit %d\n%s", exit, out)
			}
		})
	}
}

// One directory of DEST is enough, by an attribute that the files take from it; what else there is is verified.
func TestOneFileWithoutChecksums(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 300_000)
	s.write(t, "images/keep", 300_000)
	first := s.backup(t)
	if r := testbin.Must(t, "verify", s.dest); !strings.Contains(r.Stdout, "no damage") {
		t.Error(r.Stdout)
	}
	testbin.Must(t, "check", s.dest)
	// What a user does who wants disk images without copy-on-write.
	at := func(elem ...string) string { return filepath.Join(append([]string{s.dest, first}, elem...)...) }
	testdest.Tool(t, "btrfs", "property", "set", "-ts", at(), "ro", "false")
	testdest.Tool(t, "chattr", "+C", at("images"))
	testdest.Tool(t, "btrfs", "property", "set", "-ts", at(), "ro", "true")
	s.write(t, "images/disk", 300_000)
	second := s.backup(t)
	r := testbin.Run(t, "verify", s.dest)
	if r.Exit != 1 || !strings.Contains(r.Stdout, "; 1 not verified\nno checksums: images/disk in "+second+"\n") {
		t.Errorf("exit %d\n%s", r.Exit, r.Stdout)
	}
	report := s.report(t, "verify", s.dest)
	if report.Backups[0].Result != rsbtbackup.Clean || report.Backups[1].Result != rsbtbackup.NotVerified {
		t.Errorf("%+v", report.Backups)
	}
	third := s.backup(t) // shares the file
	if report := s.report(t, "verify", s.dest); report.Backups[2].Name != third || report.Backups[2].Result != rsbtbackup.NotVerified {
		t.Errorf("%+v", report.Backups)
	}
	const says = "has the attribute of chattr +C"
	testdest.Tool(t, "chattr", "+C", s.dest) // which subvolumes do not inherit
	s.write(t, "new", 300_000)
	fourth := s.backup(t)
	if ok, err := exec.Command("lsattr", filepath.Join(s.dest, fourth, "new")).Output(); err != nil || strings.Contains(strings.Fields(string(ok))[0], "C") {
		t.Errorf("%s, %v", ok, err)
	}
	if r := testbin.Must(t, "check", s.dest); strings.Contains(r.Stdout, says) {
		t.Error(r.Stdout)
	}
	top := filepath.Join(s.dest, fourth)
	testdest.Tool(t, "btrfs", "property", "set", "-ts", top, "ro", "false")
	testdest.Tool(t, "chattr", "+C", top)
	testdest.Tool(t, "btrfs", "property", "set", "-ts", top, "ro", "true")
	if r := testbin.Must(t, "check", s.dest); !strings.Contains(r.Stdout, says) {
		t.Error(r.Stdout)
	}
}

// report is the last object of verify --json.
func (s *store) report(t testing.TB, args ...string) (report rsbtbackup.VerifyReport) {
	t.Helper()
	lines := strings.Split(testbin.Run(t, append(args, "--json")...).Stdout, "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, `{"type":"verify"`) {
			testdest.Must(t, json.Unmarshal([]byte(line), &report))
			return report
		}
	}
	t.Fatalf("no report in %q", lines)
	return report
}
