package at

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
)

// SameBytes reads both files from their current offsets to the first difference. An error is that of a read, or the
// cause of ctx.
func SameBytes(ctx context.Context, a, b *os.File) (bool, error) {
	const step = 128 << 10
	bufA, bufB := make([]byte, step), make([]byte, step)
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		nA, errA := io.ReadFull(a, bufA)
		nB, errB := io.ReadFull(b, bufB)
		endA, endB := isEnd(errA), isEnd(errB)
		switch {
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		case !bytes.Equal(bufA[:nA], bufB[:nB]):
			return false, nil
		case endA || endB:
			return endA == endB, nil
		}
	}
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
