package replica

import (
	"context"
	"errors"
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

// pipe reads the stream where the kernel writes it.
func (l *localSink) pipe(ctx context.Context, o outgoing, sent func(uint64)) ([]string, uint64, error) {
	s, err := o.stream(ctx, sent)
	if err != nil {
		return nil, 0, err
	}
	manifest := o.manifest(time.Now())
	// What Copy gets from the kernel needs no checksum but those of the stream.
	archive := &archiveReader{r: s.Reader, manifest: &manifest, here: true}
	got, err := receiveOne(ctx, l.locked, archive, manifest.Name)
	err = s.end(err)
	if got == nil {
		return nil, s.meter.n, err
	}
	return got.Notices, s.meter.n, err
}
