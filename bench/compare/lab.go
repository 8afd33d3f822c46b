package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lab is what is measured in: filesystems on image files, and the programs.
type lab struct {
	options
	ctx     context.Context
	dir     string
	size    sizes
	mounted []string
	dest    string            // the btrfs that everybody writes to
	sources map[string]string // by the type of the filesystem
	peers   []*peer
}

// run measures everything that is wanted.
func (l *lab) run() (*results, error) {
	if err := l.setUp(); err != nil {
		return nil, err
	}
	found := &results{Machine: describe(), Quick: l.quick, Rounds: l.rounds, Tree: l.size.text()}
	for _, p := range l.peers {
		found.Programs = append(found.Programs, program{Name: p.name, Version: p.version, Missing: p.version == ""})
	}
	for _, fs := range []string{"ext4", "btrfs", fileOnBtrfs, imageOnBtrfs} {
		if err := l.measureFrom(fs, found); err != nil {
			return found, fmt.Errorf("from %s: %w", fs, err)
		}
	}
	return found, nil
}

func (l *lab) setUp() error {
	var err error
	l.sources, l.peers = map[string]string{}, allPeers(l)
	l.dest, err = l.mount("dest", "btrfs", l.size.disk)
	return err
}

// source makes the tree that is backed up, on a filesystem of a type.
func (l *lab) source(fs string) error {
	kind := fs
	if fs == fileOnBtrfs || fs == imageOnBtrfs {
		kind = "btrfs"
	}
	mount, err := l.mount("from-"+fs, kind, l.size.disk)
	if err != nil {
		return err
	}
	src := filepath.Join(mount, "src")
	l.sources[fs] = src
	if kind == "btrfs" {
		err = l.do("btrfs", "-q", "subvolume", "create", src)
	} else {
		err = os.Mkdir(src, 0o755)
	}
	grow := map[string]func(string, sizes) error{fileOnBtrfs: growFile, imageOnBtrfs: growImage}[fs]
	if grow == nil {
		grow = growTree
	}
	return errors.Join(err, grow(src, l.size))
}

// mount makes a filesystem on an image file.
func (l *lab) mount(name, fs, size string) (string, error) {
	image, point := filepath.Join(l.dir, name+".img"), filepath.Join(l.dir, name)
	mkfs := []string{"mkfs." + fs, "-q", image}
	if err := os.Mkdir(point, 0o755); err != nil {
		return "", err
	}
	if err := errors.Join(l.do("truncate", "-s", size, image), l.do(mkfs[0], mkfs[1:]...), l.do("mount", "-o", "loop", image, point)); err != nil {
		return "", err
	}
	l.mounted = append(l.mounted, point)
	return point, nil
}

// close takes everything down, also when the run was stopped.
func (l *lab) close() error {
	l.ctx = context.Background()
	var errs []error
	for _, point := range l.mounted {
		errs = append(errs, l.do("umount", point))
	}
	if err := errors.Join(errs...); err != nil {
		return err // what is still mounted must not be removed
	}
	return os.RemoveAll(l.dir)
}

// do runs a program that must succeed.
func (l *lab) do(name string, args ...string) error { return l.doIn("", nil, name, args...) }

// doIn runs it in a directory and with more in its environment.
func (l *lab) doIn(dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(l.ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
	return nil
}

// settle flushes what earlier programs have written.
func (l *lab) settle() error {
	var errs []error
	for _, point := range l.mounted {
		errs = append(errs, l.do("sync", "-f", point))
	}
	return errors.Join(errs...)
}

// forget empties the caches of the kernel.
func (l *lab) forget() error {
	if err := l.settle(); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0)
}

// timed runs what is measured, and waits until the destination has it on the disk.
func (l *lab) timed(do func() error) (time.Duration, error) {
	start := time.Now()
	if err := do(); err != nil {
		return 0, err
	}
	if err := l.do("sync", "-f", l.dest); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

// used is how many bytes are used on the destination, metadata included.
func (l *lab) used() (int64, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(l.dest, &st)
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize), err
}

// describe is the machine, as far as it matters.
func describe() string {
	var u unix.Utsname
	release := "of unknown version"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("Linux %s, %d processors, loopback images", release, processors())
}
