// The difference of one text file, line by line.

package diff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// maxText limits the size of the files that TextDiff compares: the time to find the shortest difference is quadratic in
// the size of the changes.
const maxText = 1 << 20

// errNotLines: one of the two is not a regular file.
var errNotLines = errors.New("not a file")

// Text is rsbtbackup.TextDiff.
func Text(ctx context.Context, dest, from, to, path string) (string, error) {
	inside, err := store.InsidePath(path)
	if err != nil {
		return "", fail.Step("options", err)
	}
	s, err := store.Open(dest)
	if err != nil {
		return "", err
	}
	defer s.Close()
	d, err := newDiffer(s, from, to, inside)
	if err != nil {
		return "", fail.Step("read", err)
	}
	defer d.close()
	a, errA := d.a.text(inside)
	b, errB := d.b.text(inside)
	if err := d.explain(s, nil); err != nil {
		return "", fail.Step("compare", err)
	}
	switch lacksA, lacksB := errors.Is(errA, fs.ErrNotExist), errors.Is(errB, fs.ErrNotExist); {
	case lacksA && lacksB:
		return "", fail.Step("compare", noPath("%q is neither in %s nor in %s", inside, d.a.name, d.b.name))
	case lacksA != lacksB:
		errA, errB = at.IgnoreNotExist(errA), at.IgnoreNotExist(errB)
	}
	if sameReason(errA, errB) {
		errB = nil
	}
	if err := errors.Join(errA, errB); err != nil {
		return "", fail.Step("compare", err)
	}
	return udiff.Unified(patchName(d.a.name+"/"+inside), patchName(d.b.name+"/"+inside), a, b), ctx.Err()
}

// sameReason: both errors say the same, so one is enough.
func sameReason(a, b error) bool {
	return slices.ContainsFunc([]error{facts.ErrTooLarge, facts.ErrBinary, errNotLines}, func(kind error) bool {
		return errors.Is(a, kind) && errors.Is(b, kind)
	})
}

// patchName is a name as git and GNU patch write it in the header of a difference: with special characters it is in
// double quotes, with the escapes of C.
func patchName(name string) string {
	odd := func(r rune) bool { return r == '"' || r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r) }
	if !strings.ContainsFunc(name, odd) {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(name) {
		switch c := name[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\a' <= c && c <= '\r':
			b.WriteByte('\\')
			b.WriteByte("abtnvfr"[c-'\a'])
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + "\""
}

// text reads a whole file.
func (s *diffSide) text(path string) (string, error) {
	f, err := at.OpenPathInside(s.root, at.CmpOrDot(path), unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return "", s.noText(path, err)
	}
	defer f.Close()
	st, err := at.InfoOf(f, "")
	switch {
	case err != nil:
		return "", err
	case !st.IsFile():
		return "", notLines(f.Name(), st)
	case st.Size > maxText:
		return "", fmt.Errorf("%s: %w: it has %d bytes, the limit is %d", f.Name(), facts.ErrTooLarge, st.Size, maxText)
	}
	content := make([]byte, st.Size)
	n, err := f.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	content = content[:n]
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return "", fmt.Errorf("%s: %w", f.Name(), facts.ErrBinary)
	}
	return string(content), nil
}

// noText returns a better reason than err why path cannot be read, if there is one: a symlink, socket or device is not
// a regular file.
func (s *diffSide) noText(path string, err error) error {
	st, lookErr := at.LookInside(s.root, path)
	if lookErr != nil || st.IsFile() || st.IsDir() {
		return err
	}
	return notLines(filepath.Join(s.root.Name(), path), st)
}

func notLines(path string, st at.Info) error {
	return fail.Kind(errNotLines, fail.Kindf(facts.ErrUsage, "%s: a %s cannot be compared by lines", path, st.TypeName()))
}
