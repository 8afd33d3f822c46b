//go:build integration

package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
)

var (
	leaf    = regexp.MustCompile(`(?m)^leaf (\d+) items`)
	stripes = regexp.MustCompile(`CHUNK_ITEM (\d+)\)[^\n]*\n\s+length (\d+) [^\n]*METADATA\|DUP\n(?:[^\n]*\n)*?\s+stripe 0 devid \d+ offset (\d+)\n[^\n]*\n\s+stripe 1 devid \d+ offset (\d+)`)
)

// A block of the tree of a backup lost in both copies: what hung on it is named, and all the rest is read.
func TestDamagedMetadata(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 4000 {
		s.write(t, fmt.Sprintf("dir%02d/file%04d", i/100, i), 100)
	}
	first := s.backup(t)
	s.write(t, "new", 5000)
	second := s.backup(t)
	s.sync(t)
	id := strconv.FormatUint(s.snapshots(t)[0].ID, 10)
	device := strings.TrimSpace(tool(t, "findmnt", "-no", "SOURCE", s.image.Mount))
	leaves := leaf.FindAllStringSubmatch(tool(t, "btrfs", "inspect-internal", "dump-tree", "-t", id, device), -1)
	chunks := tool(t, "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", device)
	address := number(t, leaves[len(leaves)/2][1])
	s.image.Unmount(t)
	for _, m := range stripes.FindAllStringSubmatch(chunks, -1) {
		start, length := number(t, m[1]), number(t, m[2])
		if start <= address && address < start+length {
			s.overwrite(t, int64(number(t, m[3])+address-start))
			s.overwrite(t, int64(number(t, m[4])+address-start))
		}
	}
	s.image.Remount(t)
	report := s.verify(t, rsbtbackup.VerifyOptions{})
	if report.Damaged == 0 || report.Damaged > 1000 || report.Files < 6000 {
		t.Fatalf("damaged %d, files %d", report.Damaged, report.Files)
	}
	perBackup := map[string]int{}
	for _, d := range report.Damages {
		perBackup[d.Backup]++
		if d.Kind != rsbtbackup.MetadataDamage || d.Intact != "" || d.Path == "" {
			t.Errorf("%+v", d)
			break
		}
		if _, err := os.ReadFile(filepath.Join(s.dest, d.Backup, d.Path)); err == nil {
			t.Errorf("%q can be read", d.Path)
		}
	}
	// The tree is shared, so both have lost it, and the second is read whole since the first was not.
	if perBackup[first] == 0 || perBackup[first] != perBackup[second] || report.Backups[1].Since != "" {
		t.Errorf("%v, %+v", perBackup, report.Backups)
	}
}
