package rsyncexec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// ErrListUnread says that rsync exited with 0 without reading all of Options.FilesFrom, so not all files on the list
// were compared. A wrapper may have replaced its stdin, as a shell does for commands in the background.
var ErrListUnread = errors.New("rsync did not read the list of files on its stdin")

// fed is a list that is being sent to rsync.
type fed struct{ rest *os.File }

// feed lets cmd read data on stdin; with nil data stdin is not changed.
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
		// It fails if rsync stops reading; end notices that.
		_, _ = w.Write(data)
		_ = w.Close()
	}()
	return fed{r}, nil
}

// end counts what rsync has not read, after it has ended.
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
