package rsyncexec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// ErrListUnread says that rsync has ended well without having read all of Options.FilesFrom: a wrapper may have taken
// its stdin away, as a shell does to what it runs in the background. What rsync was to look at it has not looked at.
var ErrListUnread = errors.New("rsync did not read the list of files on its stdin")

// fed is a list on its way to rsync.
type fed struct{ rest *os.File }

// feed lets cmd read data on stdin; nil data is none, and leaves stdin alone.
func feed(cmd *exec.Cmd, data []byte) (fed, error) {
	if data == nil {
		return fed{}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fed{}, fmt.Errorf("rsync: %w", err)
	}
	cmd.Stdin = r
	go func() {
		// It fails when nobody reads any more, which end finds out.
		_, _ = w.Write(data)
		_ = w.Close()
	}()
	return fed{r}, nil
}

// end takes what was not read, when rsync is gone.
func (f fed) end() error {
	if f.rest == nil {
		return nil
	}
	left, err := io.Copy(io.Discard, f.rest)
	if err := errors.Join(err, f.rest.Close()); err != nil {
		return fmt.Errorf("rsync: list of files: %w", err)
	}
	if left > 0 {
		return fmt.Errorf("%w: %d bytes were left", ErrListUnread, left)
	}
	return nil
}
