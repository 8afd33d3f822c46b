//go:build integration

package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

var (
	leaf    = regexp.MustCompile(`(?m)^leaf (\d+) items[^\n]*\n(?:[^\n]*\n)*?\s+item 0 key \(\d+ (\w+) `)
	stripes = regexp.MustCompile(`CHUNK_ITEM (\d+)\)[^\n]*\n\s+length (\d+) [^\n]*METADATA\|DUP\n(?:[^\n]*\n)*?\s+stripe 0 devid \d+ offset (\d+)\n[^\n]*\n\s+stripe 1 devid \d+ offset (\d+)`)
)

// past is another time than that of files just written.
var past = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// loseLeaf overwrites, in both copies, a leaf of a backup's tree that begins with an item of the given type: the middle
// one of those.
func (s *store) loseLeaf(t testing.TB, backup uint64, item string) {
	t.Helper()
	s.sync(t)
	device := strings.TrimSpace(testdest.Tool(t, "findmnt", "-no", "SOURCE", s.image.Mount))
	var addresses []uint64
	for _, m := range leaf.FindAllStringSubmatch(testdest.Tool(t, "btrfs", "inspect-internal", "dump-tree", "-t", strconv.FormatUint(backup, 10), device), -1) {
		if m[2] == item {
			addresses = append(addresses, number(t, m[1]))
		}
	}
	if len(addresses) == 0 {
		t.Fatalf("no leaf of tree %d begins with a %s", backup, item)
	}
	address := addresses[len(addresses)/2]
	chunks := testdest.Tool(t, "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", device)
	s.image.Unmount(t)
	for _, m := range stripes.FindAllStringSubmatch(chunks, -1) {
		start, length := number(t, m[1]), number(t, m[2])
		if start <= address && address < start+length {
			s.overwrite(t, int64(number(t, m[3])+address-start))
			s.overwrite(t, int64(number(t, m[4])+address-start))
		}
	}
	s.image.Remount(t)
}

// A block of the tree of a backup lost in both copies: what hung on it is named, and all the rest is read. Where the
// block begins with the data of a file whose inode is in the one before, that file can be opened.
func TestDamagedMetadata(t *testing.T) {
	t.Parallel()
	for _, begin := range []string{"INODE_ITEM", "EXTENT_DATA"} {
		t.Run(begin, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			for i := range 4000 {
				s.write(t, fmt.Sprintf("dir%02d/file%04d", i/100, i), 100)
			}
			time.Sleep(2100 * time.Millisecond) // what changed less than two seconds before a walk is looked at again, which writes its inode anew
			first := s.backup(t)
			s.write(t, "new", 5000)
			second := s.backup(t)
			s.loseLeaf(t, s.snapshots(t)[0].ID, begin)
			report := s.verify(t, rsbtbackup.VerifyOptions{})
			if report.Damaged == 0 || report.Damaged > 1000 || report.Files < 6000 {
				t.Fatalf("damaged %d, files %d", report.Damaged, report.Files)
			}
			perBackup := map[string]int{}
			for _, d := range report.Damages {
				perBackup[d.Backup]++
				if d.Kind != rsbtbackup.MetadataDamage || d.Intact != "" || d.Path == "" {
					t.Errorf("%+v", d)
				}
				if _, err := os.ReadFile(filepath.Join(s.dest, d.Backup, d.Path)); err == nil {
					t.Errorf("%q can be read", d.Path)
				}
			}
			// The tree is shared, so both have lost it, and the second is read whole since the first was not.
			if perBackup[first] == 0 || perBackup[first] != perBackup[second] || report.Backups[1].Since != "" {
				t.Errorf("%v, %+v", perBackup, report.Backups)
			}
		})
	}
}

// A lost block can hold nothing but where parts of one large file are. That file is opened and read, up to those parts,
// in every backup that shares the block.
func TestLostExtentsOfOneFile(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const blocks = 4000
	s.write(t, "image", blocks*4096)
	before := s.backup(t)
	for i := 0; i < blocks; i += 4 { // rsync compares in blocks of 4,048 bytes here, which do not lie as those do
		s.change(t, "image", int64(i)*4096, 4096)
	}
	testdest.Must(t, os.Chtimes(filepath.Join(s.src, "image"), past, past)) // of the same size
	first := s.backup(t)                                                    // in place: an extent for each block
	s.write(t, "new", 5000)
	second := s.backup(t)
	s.loseLeaf(t, s.snapshots(t)[1].ID, "EXTENT_DATA")
	report, err := rsbtbackup.Verify(t.Context(), s.dest, rsbtbackup.VerifyOptions{}) // with a notice: what changed is not known
	if !errors.Is(err, rsbtbackup.ErrDamaged) {
		t.Fatal(err)
	}
	var in []string
	for _, d := range report.Damages {
		in = append(in, d.Backup)
		if d.Path != "image" || d.Kind != rsbtbackup.MetadataDamage || d.Intact != before || d.Bytes == 0 || d.Bytes > blocks*4096/2 {
			t.Errorf("%+v", d)
		}
	}
	if len(in) != 2 || in[0] != first || in[1] != second {
		t.Errorf("damaged in %q, want %q and %q", in, first, second)
	}

	// Nothing can be based on that.
	third := s.backup(t)
	if diff := testdest.Tool(t, "diff", "-r", s.src, filepath.Join(s.dest, third)); diff != "" {
		t.Error(diff)
	}
	report, err = rsbtbackup.Verify(t.Context(), s.dest, rsbtbackup.VerifyOptions{Backup: third})
	if err != nil || report.Damaged != 0 {
		t.Errorf("after the next backup: %v, %+v", err, report)
	}
	if b := s.snapshots(t)[3]; b.Record.Base != "" || len(b.Record.Notices) != 1 {
		t.Errorf("%+v", b.Record)
	}
}
