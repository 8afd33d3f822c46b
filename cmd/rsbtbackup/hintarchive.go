// Hints about the input of receive.

package main

import (
	"errors"
	"io"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

// beginning keeps the first bytes that are read through it.
type beginning struct {
	io.Reader
	bytes []byte
}

const magicSize = 64

func (b *beginning) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if left := magicSize - len(b.bytes); left > 0 {
		b.bytes = append(b.bytes, p[:min(n, left)]...)
	}
	return n, err
}

// packedError has the command that unpacks the input, for the hints.
type packedError struct {
	error
	is     string
	unpack string
}

// Unwrap returns the error of the library.
func (e *packedError) Unwrap() error { return e.error }

// packings are programs through which an archive is often piped, by the first bytes of their output. gpg has a packet
// of a key or a passphrase first.
var packings = []struct{ magic, is, unpack string }{
	{"\x28\xb5\x2f\xfd", "compressed", "zstd -dc FILE"},
	{"\x1f\x8b", "compressed", "gzip -dc FILE"},
	{"\xfd7zXZ\x00", "compressed", "xz -dc FILE"},
	{"BZh", "compressed", "bzip2 -dc FILE"},
	{"\x04\x22\x4d\x18", "compressed", "lz4 -dc FILE"},
	{"age-encryption.org/", "encrypted", "age -d -i KEY FILE"},
	{"-----BEGIN AGE ENCRYPTED FILE", "encrypted", "age -d -i KEY FILE"},
	{"-----BEGIN PGP MESSAGE", "encrypted", "gpg -d FILE"},
	{"\x84", "encrypted", "gpg -d FILE"}, {"\x85", "encrypted", "gpg -d FILE"},
	{"\x8c", "encrypted", "gpg -d FILE"}, {"\xc1", "encrypted", "gpg -d FILE"}, {"\xc3", "encrypted", "gpg -d FILE"},
}

// packed is the packing of the input, if it is not an archive because it is compressed or encrypted.
func packed(err error, begins []byte) error {
	if !errors.Is(err, rsbtbackup.ErrArchive) {
		return err
	}
	for _, p := range packings {
		if strings.HasPrefix(string(begins), p.magic) {
			return &packedError{err, p.is, p.unpack}
		}
	}
	return err
}

// archiveHints: the input is compressed, or is based on a missing backup.
func archiveHints(err error, i invocation) ([]string, bool) {
	c, ok := i.command.(*receiveCommand)
	var packed *packedError
	switch {
	case !ok || c.Stdio:
		return nil, false
	case errors.As(err, &packed):
		return []string{"it is " + packed.is + ": " + packed.unpack + " | " + i.again()}, true
	case errors.Is(err, rsbtbackup.ErrArchive):
		return []string{"it reads what send has written: " + i.again() + " <FILE"}, true
	case errors.Is(err, rsbtbackup.ErrNoBackup):
		return []string{`receive first the archive whose "uuid" is the "parent_uuid" of this one; to see both: head -n 1 FILE`}, true
	}
	return nil, false
}
