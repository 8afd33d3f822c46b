package source

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// snapshotPrefix begins the names of the snapshots that a run reads a source from; see package freeze.
const snapshotPrefix = ".rsbtbackup-snapshot-"

// NewSnapshotName is a name for a snapshot of a subvolume. Its end is a checksum of the rest and of the subvolume, so
// that no other file has such a name by chance.
func NewSnapshotName(of btrfs.UUID) string {
	text := strings.ToLower(rand.Text()[:16])
	return snapshotPrefix + text + "-" + proof(of, text)
}

// IsSnapshotName reports whether a name was made for a snapshot of that subvolume.
func IsSnapshotName(name string, of btrfs.UUID) bool {
	rest, ok := strings.CutPrefix(name, snapshotPrefix)
	text, end, cut := strings.Cut(rest, "-")
	return ok && cut && text != "" && end == proof(of, text)
}

func proof(of btrfs.UUID, text string) string {
	sum := sha256.Sum256([]byte(snapshotPrefix + of.String() + text))
	return hex.EncodeToString(sum[:8])
}

// snapshotsIn returns the snapshots that other runs have made, or left, in a source that is the root of a subvolume.
func snapshotsIn(dir *os.File, subvolume string) ([]string, error) {
	var of btrfs.UUID
	if err := of.UnmarshalText([]byte(subvolume)); err != nil {
		return nil, nil // not on btrfs
	}
	names, err := at.Names(dir)
	return slices.DeleteFunc(names, func(name string) bool { return !IsSnapshotName(name, of) }), err
}
