package receive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// ErrNoDecoder: compressed data that the filesystem cannot store unchanged, and that cannot be decompressed here.
var ErrNoDecoder = errors.New("the data is compressed with LZO, which this filesystem cannot store unchanged and this program cannot decompress: send without compressed data")

// maxUnencoded is how much one compressed extent can hold, BTRFS_MAX_UNCOMPRESSED.
const maxUnencoded = 128 << 10

// writeEncoded passes compressed data to the kernel unchanged, or decompressed if the kernel refuses that.
func (w *work) writeEncoded(c sendstream.EncodedWrite) error {
	n, err := w.regular(c.Path, "write")
	if err != nil {
		return err
	}
	if err := checkEncoded(c); err != nil {
		return n.fail("write", err)
	}
	if !w.refused {
		err := btrfs.WriteEncoded(n.file, btrfs.Encoded{
			Offset:          c.Offset,
			Len:             c.UnencodedFileLen,
			UnencodedLen:    c.UnencodedLen,
			UnencodedOffset: c.UnencodedOffset,
			Compression:     c.Compression,
			Encryption:      c.Encryption,
		}, c.Data)
		if err == nil || !cannotEncode(err) {
			return err
		}
		w.refused = errors.Is(err, unix.ENOTTY)
	}
	data, err := w.decompressor.decompress(c)
	if err != nil {
		return n.fail("decompress", err)
	}
	_, err = n.file.WriteAt(data, int64(c.Offset))
	return err
}

func cannotEncode(err error) bool {
	return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EPERM)
}

// checkEncoded refuses sizes that no extent can have, so that nothing larger is allocated.
func checkEncoded(c sendstream.EncodedWrite) error {
	switch {
	case c.Encryption != 0:
		return fmt.Errorf("%w: unknown encryption %d", ErrStream, c.Encryption)
	case c.UnencodedLen > maxUnencoded, c.UnencodedOffset > c.UnencodedLen, c.UnencodedFileLen > c.UnencodedLen-c.UnencodedOffset,
		c.UnencodedFileLen == 0, len(c.Data) == 0, c.Offset > math.MaxInt64-maxUnencoded:
		return fmt.Errorf("%w: bytes %d to %d of %d, compressed to %d, at %d", ErrStream,
			c.UnencodedOffset, c.UnencodedOffset+c.UnencodedFileLen, c.UnencodedLen, len(c.Data), c.Offset)
	}
	return nil
}

// decompressor keeps the decoder, which is expensive to make. The zero value is ready to use.
type decompressor struct{ zstd *zstd.Decoder }

func (d *decompressor) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}

// decompress returns the part of the extent that is in the file. Missing data is zeros. Bytes after the end of the
// compressed data, up to a block of the disk, are ignored.
func (d *decompressor) decompress(c sendstream.EncodedWrite) ([]byte, error) {
	data := make([]byte, c.UnencodedLen)
	var err error
	switch {
	case c.Compression == 0:
		copy(data, c.Data)
	case c.Compression == btrfs.CompressionZlib:
		err = inflate(data, c.Data)
	case c.Compression == btrfs.CompressionZstd:
		err = d.unzstd(data, c.Data)
	case c.Compression >= btrfs.CompressionLZO4K && c.Compression <= btrfs.CompressionLZO64K:
		err = ErrNoDecoder
	default:
		err = fmt.Errorf("%w: compression %d", ErrStream, c.Compression)
	}
	if err != nil {
		return nil, err
	}
	return data[c.UnencodedOffset : c.UnencodedOffset+c.UnencodedFileLen], nil
}

func inflate(out, data []byte) error {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: zlib: %w", ErrStream, err)
	}
	return fill(out, r, "zlib")
}

func (d *decompressor) unzstd(out, data []byte) error {
	frame, err := zstdFrame(data)
	if err != nil {
		return fmt.Errorf("%w: zstd: %w", ErrStream, err)
	}
	if d.zstd == nil {
		d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxUnencoded))
		if err != nil {
			return err
		}
	}
	if err := d.zstd.Reset(bytes.NewReader(frame)); err != nil {
		return fmt.Errorf("%w: zstd: %w", ErrStream, err)
	}
	return fill(out, d.zstd, "zstd")
}

// fill stops when out is full, or when the data ends.
func fill(out []byte, r io.Reader, what string) error {
	_, err := io.ReadFull(r, out)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF || err == io.ErrUnexpectedEOF && !ended(r) {
		return fmt.Errorf("%w: %s: %w", ErrStream, what, err)
	}
	return nil
}

// ended: io.ReadFull gives the same error for data that ends and for compressed data that is cut off.
func ended(r io.Reader) bool {
	n, err := r.Read(make([]byte, 1))
	return n == 0 && err == io.EOF
}

// zstdFrame returns the first frame of data, because the decoder would read the following bytes as another frame. The
// lengths of its blocks are not compressed (RFC 8878).
func zstdFrame(data []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(data); err != nil {
		return nil, err
	}
	end := h.HeaderSize
	for last := false; !last; {
		if len(data)-end < 3 {
			return nil, io.ErrUnexpectedEOF
		}
		block := int(data[end]) | int(data[end+1])<<8 | int(data[end+2])<<16
		last = block&1 != 0
		end += 3
		if const1 := block>>1&3 == 1; const1 { // one byte, repeated
			end++
		} else {
			end += block >> 3
		}
	}
	if h.HasCheckSum {
		end += 4
	}
	if end > len(data) {
		return nil, io.ErrUnexpectedEOF
	}
	return data[:end], nil
}
