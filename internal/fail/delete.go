package fail

import (
	"errors"

	"golang.org/x/sys/unix"
)

func IsFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
