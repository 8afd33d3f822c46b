// Views of DEST that the table of mounts does not show: through FUSE, a network share of this machine, overlayfs. There
// DEST is recognised by files that the run has just written in it.

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

// Mark names two files in DEST: a permanent one, and one written by the holder of the lock.
type Mark struct{ Marker, Holder string }

// mark is the content of these files.
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

// isAt reports whether path shows DEST. A copy of DEST has the marker, but not the file just written; a view may show
// that one with a delay.
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

// isInView reports whether path is DEST or below it, in a mount at point.
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

// isOpaque reports filesystems that can show files of another one. Filesystems of another host are not asked: if the
// host is gone, that would hang.
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
