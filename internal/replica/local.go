package replica

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// localSink is a DEST on this host, locked.
type localSink struct {
	locked *store.Locked
	items  []Item
}

func (l *localSink) have() []Item { return l.items }

// put sends and receives at the same time. Compressed data that this filesystem stores otherwise, and nobody here can
// decompress, is sent decompressed.
func (l *localSink) put(ctx context.Context, o outgoing, sent func(uint64)) ([]string, uint64, error) {
	notices, n, err := l.pipe(ctx, o, sent)
	if errors.Is(err, receive.ErrNoDecoder) && !o.plain {
		o.plain = true
		return l.pipe(ctx, o, sent)
	}
	return notices, n, err
}

func (l *localSink) pipe(ctx context.Context, o outgoing, sent func(uint64)) ([]string, uint64, error) {
	r, w := io.Pipe()
	counted := &reporting{w: w, report: sent}
	manifest := o.manifest(time.Now())
	ended := make(chan error, 1)
	go func() {
		err := o.stream(ctx, counted)
		_ = w.CloseWithError(err) // never fails
		ended <- err
	}()
	// What Copy is told of by the kernel needs no checksum but those of the stream.
	archive := &archiveReader{r: bufio.NewReaderSize(r, receive.ReadAhead), manifest: &manifest, here: true}
	got, err := receiveOne(ctx, l.locked, archive, manifest.Name)
	_ = r.CloseWithError(errors.Join(io.ErrClosedPipe, err)) // never fails
	if sendErr := <-ended; err != nil && sendErr != nil && !errors.Is(sendErr, io.ErrClosedPipe) {
		err = sendErr // the cause; the other end only saw the stream end
	}
	if got == nil {
		return nil, counted.n, err
	}
	return got.Notices, counted.n, err
}

// reporting tells how much has gone through it.
type reporting struct {
	w      io.Writer
	report func(uint64)
	n      uint64
}

func (r *reporting) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	r.n += uint64(n)
	r.report(r.n)
	return n, err
}
