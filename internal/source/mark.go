// Views of DEST that no table of mounts explains: through FUSE, a share of this machine, overlayfs. There DEST is known
// by what the run has just written in it.

package source

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// Mark names two files in DEST: one that is there for good, and one that who has the lock has written.
type Mark struct{ Marker, Holder string }

// mark is what they have.
type mark struct {
	Mark
	marker os.FileInfo // nil if there is none
	holder string
}

func (m Mark) read(dest string) mark {
	is := mark{Mark: m}
	if info, err := os.Lstat(filepath.Join(dest, m.Marker)); err == nil {
		is.marker = info
	}
	if holder, err := os.ReadFile(filepath.Join(dest, m.Holder)); err == nil {
		is.holder = string(holder)
	}
	return is
}

// isAt tells whether path shows DEST. A copy has the marker, but not what has been written since; a view may show that
// some moments late.
func (m mark) isAt(path string) bool {
	const moment, moments = 300 * time.Millisecond, 5
	if m.marker == nil || m.holder == "" {
		return false
	}
	marker, err := os.Lstat(filepath.Join(path, m.Marker))
	if err != nil || !marker.ModTime().Equal(m.marker.ModTime()) || marker.Size() != m.marker.Size() {
		return false
	}
	for range moments {
		if shown, err := os.ReadFile(filepath.Join(path, m.Holder)); err == nil && string(shown) == m.holder {
			return true
		}
		time.Sleep(moment)
	}
	return false
}

// isInView tells whether path is DEST or lies in it, in a mount at point.
func (s *Source) isInView(path, point string) bool {
	for dir := path; at.IsWithin(dir, point); dir = filepath.Dir(dir) {
		if s.mark.isAt(dir) {
			return true
		}
		if dir == "/" {
			break
		}
	}
	return false
}

// isOpaque tells of filesystems that can show what another one has. Of those of another host nothing is asked: it may
// be gone, and that would hang.
func isOpaque(m mounts.Mount) bool {
	if !strings.HasPrefix(m.Kind, "fuse") && !slices.Contains([]string{"overlay", "nfs", "nfs4", "9p", "virtiofs", "ecryptfs"}, m.Kind) {
		return false
	}
	if m.Kind == "overlay" {
		return true
	}
	host, _, remote := strings.Cut(m.Source, ":")
	host = host[strings.LastIndex(host, "@")+1:]
	own, err := os.Hostname()
	return !remote || strings.HasPrefix(m.Source, "/") || slices.Contains([]string{"localhost", "127.0.0.1"}, host) || err == nil && host == own
}
