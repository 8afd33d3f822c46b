package replica

import (
	"context"
	"errors"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// pipe sends a backup of this host and receives it at the same time. Compressed data that the target cannot store, and
// that cannot be decompressed here, is sent decompressed.
func (c *copying) pipe(ctx context.Context, locked *store.Locked, step Step, sent func(uint64)) ([]string, uint64, error) {
	o, err := c.outgoing(step)
	if err != nil {
		return nil, 0, err
	}
	notices, n, err := o.pipe(ctx, locked, sent)
	if errors.Is(err, receive.ErrNoDecoder) && !o.plain {
		o.plain = true
		return o.pipe(ctx, locked, sent)
	}
	return notices, n, err
}

// pipe reads the stream where the kernel writes it.
func (o outgoing) pipe(ctx context.Context, locked *store.Locked, sent func(uint64)) ([]string, uint64, error) {
	s, err := o.stream(ctx, sent)
	if err != nil {
		return nil, 0, err
	}
	manifest := o.manifest(time.Now())
	// The checksums of the stream are enough for what comes from the kernel of this host.
	from := archive.Direct(s.Reader, &manifest)
	got, err := receiveOne(ctx, locked, from, manifest.Name)
	err = s.end(err)
	if got == nil {
		return nil, s.meter.N, err
	}
	return got.Notices, s.meter.N, err
}
