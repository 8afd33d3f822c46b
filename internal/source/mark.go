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

// isOpaque reports filesystems that can show files of another one of this host. Filesystems of another host are not
// asked: if that host is gone, this would hang.
func isOpaque(m mounts.Mount, hostname string) bool {
	if !m.IsShown() || m.Kind == "ceph" { // Ceph stores its files itself
		return false
	}
	host := hostOf(m)
	return host == "" || slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host) || host == hostname
}

// hostOf returns the host in the source of a mount: HOST:PATH, USER@HOST:PATH, [IPv6]:PATH, or //HOST/SHARE.
func hostOf(m mounts.Mount) string {
	host, _, found := strings.Cut(m.Source, ":")
	if share, ok := strings.CutPrefix(m.Source, "//"); ok {
		host, _, found = strings.Cut(share, "/")
	}
	if m.Kind == "overlay" || strings.HasPrefix(host, "/") || !found {
		return "" // a path, or the options of an overlay with its directories
	}
	if _, address, ok := strings.Cut(m.Source, "["); ok {
		host, _, _ = strings.Cut(address, "]")
	}
	return host[strings.LastIndex(host, "@")+1:]
}
