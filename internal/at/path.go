package at

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// IsWithin reports whether path is dir or below it; both are clean and absolute.
func IsWithin(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// LeadsTo reports whether dir is one of paths, which are sorted, or a parent of one.
func LeadsTo(dir string, paths []string) bool {
	if _, found := slices.BinarySearch(paths, dir); found {
		return true
	}
	i, _ := slices.BinarySearch(paths, dir+"/")
	return i < len(paths) && strings.HasPrefix(paths[i], dir+"/")
}

// Covered reports whether path is one of paths, which are sorted, or below one.
func Covered(path string, paths []string) bool {
	for up := path; up != ""; up = up[:max(strings.LastIndexByte(up, '/'), 0)] {
		if _, found := slices.BinarySearch(paths, up); found {
			return true
		}
	}
	return false
}

// Absolute makes a path absolute without changing what it names: if link is a symlink, "link/.." is not the directory
// that link is in, as filepath.Clean assumes.
func Absolute(path string) (string, error) {
	if !filepath.IsAbs(path) {
		wd, err := os.Getwd()
		if err != nil {
			return "", err
		}
		path = wd + "/" + path
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return filepath.EvalSymlinks(path)
	}
	return filepath.Clean(path), nil
}

// AbsoluteNew is Absolute for a path that need not exist yet.
func AbsoluteNew(path string) (string, error) {
	whole, err := Absolute(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return whole, err
	}
	dir, name := filepath.Split(strings.TrimRight(path, "/")) // filepath.Dir would clean it
	if name == "." || name == ".." {
		return "", err
	}
	dir, err = Absolute(dir)
	return filepath.Join(dir, name), err
}
