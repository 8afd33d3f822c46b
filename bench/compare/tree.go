package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
)

// sizes are those of the tree that is backed up.
type sizes struct {
	small   int   // files of 100 to 4,000 bytes, a hundred in each directory
	large   int64 // bytes in one file
	alone   int64 // bytes of the file that is all of a source
	image   int64 // bytes of a file with holes, of which 1 % is there
	moved   int   // files of 1 MB in the directory that is renamed
	disk    string
	churned int // small files that change, of 1 %
}

func sizesOf(o options) sizes {
	s := sizes{small: 30_000, large: 512 << 20, alone: 1 << 30, image: 20 << 30, moved: 256, disk: "60G"}
	if o.quick {
		s = sizes{small: 4_000, large: 48 << 20, alone: 1 << 30, image: 2 << 30, moved: 48, disk: "12G"}
	}
	if o.files > 0 {
		s.small = o.files
	}
	s.churned = s.small / 100
	return s
}

func (s sizes) text() string {
	return fmt.Sprintf("%d small files, one of %d MB, a directory with %d of 1 MB; a file of %d GB alone; an image of %d GB with 1 %% in it", s.small, s.large>>20, s.moved, s.alone>>30, s.image>>30)
}

func processors() int { return runtime.NumCPU() }

// growTree makes the tree. Its content is random: it cannot be compressed or deduplicated.
func growTree(dir string, s sizes) error {
	r := rand.NewChaCha8([32]byte{1})
	g := &grower{r: r, n: rand.New(r)}
	for i := range s.small {
		g.file(smallName(dir, i), int64(100+g.n.IntN(3900)))
	}
	g.file(filepath.Join(dir, largeFile), s.large)
	for i := range s.moved {
		g.file(filepath.Join(dir, movedDir, fmt.Sprintf("f%04d", i)), 1<<20)
	}
	return g.err
}

const (
	largeFile = "large"
	movedDir  = "photos"
)

func smallName(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("d%04d", i/100), fmt.Sprintf("f%06d", i))
}

type grower struct {
	r   *rand.ChaCha8
	n   *rand.Rand
	err error
}

func (g *grower) file(name string, size int64) {
	if g.err != nil {
		return
	}
	if g.err = os.MkdirAll(filepath.Dir(name), 0o755); g.err != nil {
		return
	}
	f, err := os.Create(name)
	buf := make([]byte, min(size, 1<<20))
	for left := size; err == nil && left > 0; left -= int64(len(buf)) {
		buf = buf[:min(left, int64(len(buf)))]
		_, _ = g.r.Read(buf) // it never fails
		_, err = f.Write(buf)
	}
	g.err = errors.Join(err, f.Close())
}

// churn changes 1 % of the small files, others in each round.
func churn(dir string, s sizes, round int) error {
	for i := range s.churned {
		name := smallName(dir, (i*100+round*7+13)%s.small)
		if err := os.WriteFile(name, fmt.Appendf(nil, "round %d of %d, %s", round, i, name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// patch writes 4 KB into the large file, elsewhere in each round.
func patch(dir string, _ sizes, round int) error {
	f, err := os.OpenFile(filepath.Join(dir, largeFile), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	data := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{2, byte(round)}).Read(data) // it never fails
	_, err = f.WriteAt(data, (info.Size()/16*int64(round%15+1))&^4095)
	return errors.Join(err, f.Close())
}

// growFile makes the file that is all of a source.
func growFile(dir string, s sizes) error {
	r := rand.NewChaCha8([32]byte{5})
	g := &grower{r: r, n: rand.New(r)}
	g.file(filepath.Join(dir, largeFile), s.alone)
	return g.err
}

// growImage makes the file with holes.
func growImage(dir string, s sizes) error {
	f, err := os.Create(filepath.Join(dir, largeFile))
	if err != nil {
		return err
	}
	r, data := rand.NewChaCha8([32]byte{3}), make([]byte, 1<<20)
	for at := int64(0); err == nil && at < s.image; at += imageStep {
		_, _ = r.Read(data) // it never fails
		_, err = f.WriteAt(data, at)
	}
	return errors.Join(err, f.Truncate(s.image), f.Close())
}

// imageStep is how far the pieces of 1 MB are apart.
const imageStep = 100 << 20

// patchImage writes 4 KB into one of them.
func patchImage(dir string, s sizes, round int) error {
	f, err := os.OpenFile(filepath.Join(dir, largeFile), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	data := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{4, byte(round)}).Read(data) // it never fails
	_, err = f.WriteAt(data, int64(round*7+1)%(s.image/imageStep)*imageStep+65536)
	return errors.Join(err, f.Close())
}

// move renames the directory, there and back.
func move(dir string, _ sizes, round int) error {
	from, to := filepath.Join(dir, movedDir), filepath.Join(dir, movedDir+"-by-year")
	if round%2 == 1 {
		from, to = to, from
	}
	return os.Rename(from, to)
}
