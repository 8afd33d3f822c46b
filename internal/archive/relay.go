package archive

import (
	"bufio"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// The kernel writes each command by itself, of a small file four, and ssh makes a packet of what it finds. So after
// little the next is waited for, but not for long: the other side has nothing to do meanwhile.
const (
	little   = 32 << 10
	together = time.Millisecond
)

// Splicer is a pipe that can take the pages of another one.
type Splicer interface {
	Splice(from syscall.RawConn) (n int, err error)
}

// Splice has to take the stream without a copy in between, as long as that is possible: Relay does the rest, and finds
// out why it ended. passed is called for each part. There must be no SHA-256.
func (a *Writer) Splice(from syscall.RawConn, to Splicer, passed func(n int)) error {
	for last := time.Now(); ; last = at.Breathe(last) {
		n, err := to.Splice(from)
		if n == 0 {
			return err
		}
		a.n += uint64(n)
		passed(n)
	}
}

// Relay writes all of the stream to out, through a, and flushes each part.
func (a *Writer) Relay(r io.Reader, out *bufio.Writer) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = a.Write(buf[:n])
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return err
		}
		if n < little {
			time.Sleep(together)
		}
	}
}
