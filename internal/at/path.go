package at

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// IsWithin tells whether path is dir or below it; both are clean and absolute.
func IsWithin(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// LeadsTo tells whether dir is one of paths or on the way to it.
func LeadsTo(dir string, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(path+"/", dir+"/") })
}

// Absolute makes a path absolute without changing what it names: above a symlink, "link/.." is not the directory link
// is in, as filepath.Clean has it.
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

// AbsoluteNew is absolute for what need not be there yet.
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
