package readback

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// AddOwn queues all the data of a file in pending, under each of its names.
func (p *Pool) AddOwn(dir *os.File, name, path string) error {
	f, err := at.OpenOwn(dir, name, unix.O_RDONLY|unix.O_DIRECT)
	if err != nil {
		return err
	}
	st, err := at.StatFile(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	file := p.Hold(f, path, st.Size)
	defer p.Release(file)
	return p.AddData(file, st)
}
