package testdest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Digest is a checksum of everything below dir that a backup keeps: names, contents, types, modes, owners, times and
// link counts.
func Digest(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return hashEntry(h, dir, path, e)
	})
	if err != nil {
		t.Fatalf("digest: %v", err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashEntry(h io.Writer, dir, path string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	fmt.Fprintf(h, "%q %v %d:%d %d %d\n", rel, info.Mode(), st.Uid, st.Gid, st.Mtim.Nano(), st.Nlink)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		fmt.Fprintf(h, "%q\n", target)
		return err
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(h, "%d\n", info.Size())
		_, err = io.Copy(h, f)
		return err
	}
	return nil
}
