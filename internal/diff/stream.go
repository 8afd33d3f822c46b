// Finding differences by the kernel's change stream.
//
// The stream tells a receiver that has the first backup how to make the second from it. Here it is applied to a tree of
// names that begins as the first backup and is filled in when commands mention names. The result is only which names
// were removed or added, and which files were touched. All the rest is looked up in the backups.

package diff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/replay"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

// errSend is an error of the kernel, and not of what it sent. Linux 6.18 fails with ENOENT at some orders of renames.
var errSend = errors.New("no change stream")

// trySend is false if the kernel cannot be asked, or cannot answer for this path.
func (d *differ) trySend(tops bool) (bool, error) {
	if !tops || !d.related || !d.a.readOnly || !d.b.readOnly {
		return false, nil
	}
	played, err := d.play()
	if errors.Is(err, unix.EPERM) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ok, err := d.takeLoose(played)
	if err != nil || !ok {
		d.forget()
		return false, err
	}
	if err := d.match(); err != nil {
		return true, err
	}
	return true, d.pairTouched(played)
}

func (d *differ) play() (*replay.Tree, error) {
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := btrfs.Send(ctx, d.b.root, d.a.root, w, btrfs.SendOptions{NoFileData: true})
		sent <- err
		_ = w.CloseWithError(err) // never fails
	}()
	played := replay.New()
	var err error
	for command, streamErr := range sendstream.Commands(r) {
		if err = streamErr; err == nil {
			err = played.Do(command)
		}
		if err != nil {
			break
		}
	}
	_ = r.CloseWithError(err) // never fails
	sendErr := <-sent
	if sendErr != nil && (err == nil || errors.Is(err, sendErr)) {
		return nil, fail.Kind(errSend, sendErr)
	}
	if err != nil {
		return nil, fmt.Errorf("change stream from %s to %s: %w", d.a.name, d.b.name, err)
	}
	return played, nil
}

// takeLoose looks up the names that were removed or added. It is false if the directory to compare is below one that
// moved.
func (d *differ) takeLoose(played *replay.Tree) (bool, error) {
	before, after := played.Names()
	all := [2]map[string]*diffLink{{}, {}}
	for i, side := range []*diffSide{d.a, d.b} {
		for _, p := range [][]string{before, after}[i] {
			st, err := at.LookInside(side.root, p)
			if at.IsAbsent(err) {
				continue
			}
			if err != nil {
				return false, err
			}
			if st.IsBoundary() {
				continue
			}
			all[i][p] = &diffLink{path: p, st: st}
			if isBelow(d.inside, p) {
				return false, nil
			}
			if isBelow(p, d.inside) {
				side.loose[p] = all[i][p]
			}
		}
	}
	if d.inside == "" {
		return true, nil
	}
	return true, errors.Join(d.expand(d.a, all[1], d.b), d.expand(d.b, all[0], d.a))
}

// isBelow reports whether p is dir or below it.
func isBelow(p, dir string) bool {
	return dir == "" || p == dir || strings.HasPrefix(p, dir+"/")
}

// expand adds everything below directories that moved into or out of the part that is compared: for that part all of it
// is new, or gone.
func (d *differ) expand(side *diffSide, elsewhere map[string]*diffLink, other *diffSide) error {
	outside := map[at.FileID]bool{}
	for p, l := range elsewhere {
		outside[l.st.ID] = other.loose[p] == nil
	}
	w := &pairWalker{differ: d}
	for _, l := range sortedLinks(side.loose) {
		if l.st.IsDir() && outside[l.st.ID] {
			if err := w.looseTree(side, side.root, l.path, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// pairTouched compares files that were touched but not moved, under each of their names: the stream mentions only one.
func (d *differ) pairTouched(played *replay.Tree) error {
	seen := map[string]bool{}
	for _, t := range played.TouchedFiles() {
		names := []string{t.After}
		st, err := at.LookInside(d.b.root, t.After)
		if err != nil {
			return err
		}
		if !st.IsDir() && st.Links > 1 {
			if names, err = btrfs.InodeNames(d.b.root, st.ID.Inode); err != nil {
				return err
			}
		}
		for _, name := range names {
			if seen[name] || d.b.loose[name] != nil || !isBelow(name, d.inside) {
				continue
			}
			seen[name] = true
			if err := d.pairInPlace(name, st, !t.Data); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *differ) pairInPlace(after string, st at.Info, sameData bool) error {
	before, ok := translate(d.b.loose, d.inside, after)
	if !ok {
		return fmt.Errorf("change stream: %q is in a new directory, but not new", after)
	}
	old, err := at.LookInside(d.a.root, before)
	if err != nil {
		return err
	}
	return d.pair("", &diffLink{path: before, st: old}, &diffLink{path: after, st: st}, sameData)
}
