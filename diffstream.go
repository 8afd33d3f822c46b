// Finding differences by the kernel's change stream.
//
// The stream tells a receiver that has the first backup how to make the second
// out of it. It is played here on a tree of names that begins as the first
// backup and is filled in as names come up. What counts in the end is which
// names were taken or given, and which files touched: all the rest is looked up.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// trySend is false when the kernel can not be asked, or not for this.
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

func (d *differ) play() (*replay, error) {
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := btrfs.Send(ctx, d.b.root, d.a.root, w, btrfs.SendOptions{NoFileData: true})
		sent <- err
		_ = w.CloseWithError(err) // never fails
	}()
	played := newReplay()
	var err error
	for command, streamErr := range sendstream.Commands(r) {
		if err = streamErr; err == nil {
			err = played.do(command)
		}
		if err != nil {
			break
		}
	}
	_ = r.CloseWithError(err) // never fails
	sendErr := <-sent
	if sendErr != nil && (err == nil || errors.Is(err, sendErr)) {
		return nil, sendErr
	}
	if err != nil {
		return nil, fmt.Errorf("change stream from %s to %s: %w", d.a.name, d.b.name, err)
	}
	return played, nil
}

// takeLoose looks up the names that were taken or given. It is false when the
// directory that was asked for lies below one that moved.
func (d *differ) takeLoose(played *replay) (bool, error) {
	before, after := played.names()
	all := [2]map[string]*diffLink{{}, {}}
	for i, side := range []*diffSide{d.a, d.b} {
		for _, p := range [][]string{before, after}[i] {
			st, err := lookInside(side.root, p)
			if isAbsent(err) {
				continue
			}
			if err != nil {
				return false, err
			}
			if st.isBoundary() {
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

// isBelow tells whether p is dir or in it.
func isBelow(p, dir string) bool {
	return dir == "" || p == dir || strings.HasPrefix(p, dir+"/")
}

// expand takes in what is below directories that came from, or went to, outside
// of the part that is compared: for that part all of it is new, or gone.
func (d *differ) expand(side *diffSide, elsewhere map[string]*diffLink, other *diffSide) error {
	outside := map[fileID]bool{}
	for p, l := range elsewhere {
		outside[l.st.id] = other.loose[p] == nil
	}
	w := &pairWalker{differ: d}
	for _, l := range sortedLinks(side.loose) {
		if l.st.isDir() && outside[l.st.id] {
			if err := w.looseTree(side, side.root, l.path, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// pairTouched compares files that are where they were but were touched, under
// each of their names: the stream speaks of one.
func (d *differ) pairTouched(played *replay) error {
	seen := map[string]bool{}
	for _, t := range played.touchedFiles() {
		names := []string{t.after}
		st, err := lookInside(d.b.root, t.after)
		if err != nil {
			return err
		}
		if !st.isDir() && st.links > 1 {
			if names, err = btrfs.InodeNames(d.b.root, st.id.inode); err != nil {
				return err
			}
		}
		for _, name := range names {
			if seen[name] || d.b.loose[name] != nil || !isBelow(name, d.inside) {
				continue
			}
			seen[name] = true
			if err := d.pairInPlace(name, st, !t.data); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *differ) pairInPlace(after string, st fileStat, sameData bool) error {
	before, ok := translate(d.b.loose, d.inside, after)
	if !ok {
		return fmt.Errorf("change stream: %q is in a new directory, but not new", after)
	}
	old, err := lookInside(d.a.root, before)
	if err != nil {
		return err
	}
	return d.pair("", &diffLink{path: before, st: old}, &diffLink{path: after, st: st}, sameData)
}

// replay is the tree the stream is played on.
type replay struct {
	root  *replayNode
	nodes []*replayNode // all of them
}

// replayNode is a name. Names of the first backup come into being when they
// are spoken of.
type replayNode struct {
	origin   string // path in the first backup
	old      bool   // there is such a path
	parent   *replayNode
	name     string
	children map[string]*replayNode // nil for a name that was taken away
	changed  map[string]struct{}    // names in it that were taken or given
	file     *replayFile
}

// replayFile is what several names may have in common.
type replayFile struct {
	nodes         []*replayNode
	old           bool
	touched, data bool // anything on it, its bytes
}

func newReplay() *replay {
	r := &replay{}
	r.root = r.node(nil, "", "", true)
	return r
}

func (r *replay) node(parent *replayNode, name, origin string, old bool) *replayNode {
	n := &replayNode{origin: origin, old: old, parent: parent, name: name, file: &replayFile{old: old}}
	n.file.nodes = []*replayNode{n}
	r.nodes = append(r.nodes, n)
	return n
}

func (r *replay) do(command sendstream.Command) error {
	switch c := command.(type) {
	case sendstream.Make:
		return r.make(c.Path)
	case sendstream.Rename:
		return r.rename(c.Path, c.To)
	case sendstream.Link:
		return r.link(c.Path, c.Target)
	case sendstream.Unlink:
		return r.remove(c.Path)
	case sendstream.Rmdir:
		return r.remove(c.Path)
	case sendstream.Write:
		return r.touch(c.Path, true)
	case sendstream.EncodedWrite:
		return r.touch(c.Path, true)
	case sendstream.Clone:
		return r.touch(c.Path, true)
	case sendstream.UpdateExtent:
		return r.touch(c.Path, true)
	case sendstream.Truncate:
		return r.touch(c.Path, true)
	case sendstream.Fallocate:
		return r.touch(c.Path, true)
	case sendstream.Chmod:
		return r.touch(c.Path, false)
	case sendstream.Chown:
		return r.touch(c.Path, false)
	case sendstream.Utimes:
		return r.touch(c.Path, false)
	case sendstream.SetXattr:
		return r.touch(c.Path, false)
	case sendstream.RemoveXattr:
		return r.touch(c.Path, false)
	case sendstream.FileAttr:
		return r.touch(c.Path, false)
	case sendstream.EnableVerity:
		return r.touch(c.Path, false)
	}
	return nil // what begins and ends a stream
}

func (r *replay) resolve(p string) (*replayNode, error) {
	n := r.root
	if p == "" {
		return n, nil
	}
	for name := range strings.SplitSeq(p, "/") {
		child, spoken := n.children[name]
		if !spoken && n.old {
			child = r.node(n, name, path.Join(n.origin, name), true)
			n.set(name, child)
		}
		if child == nil {
			return nil, fmt.Errorf("there is no %q", p)
		}
		n = child
	}
	return n, nil
}

func (n *replayNode) set(name string, child *replayNode) {
	if n.children == nil {
		n.children = map[string]*replayNode{}
	}
	n.children[name] = child
}

// change gives the name to child, or to nobody.
func (n *replayNode) change(name string, child *replayNode) {
	n.set(name, child)
	if n.changed == nil {
		n.changed = map[string]struct{}{}
	}
	n.changed[name] = struct{}{}
	if child != nil {
		child.parent, child.name = n, name
	}
}

func (r *replay) place(p string, child *replayNode) error {
	dir, err := r.resolve(parentOf(p))
	if err == nil {
		dir.change(path.Base(p), child)
	}
	return err
}

func (r *replay) make(p string) error { return r.place(p, r.node(nil, "", "", false)) }

func (r *replay) rename(from, to string) error {
	n, err := r.resolve(from)
	if err != nil {
		return err
	}
	n.parent.change(n.name, nil)
	return r.place(to, n)
}

func (r *replay) link(p, target string) error {
	n, err := r.resolve(target)
	if err != nil {
		return err
	}
	alias := r.node(nil, "", "", false)
	alias.file = n.file
	n.file.nodes = append(n.file.nodes, alias)
	return r.place(p, alias)
}

func (r *replay) remove(p string) error {
	n, err := r.resolve(p)
	if err != nil {
		return err
	}
	n.parent.change(n.name, nil)
	return nil
}

func (r *replay) touch(p string, data bool) error {
	n, err := r.resolve(p)
	if err != nil {
		return err
	}
	n.file.touched = true
	n.file.data = n.file.data || data
	return nil
}

// final is where the node is in the end, if it still is.
func (n *replayNode) final() (string, bool) {
	if n.parent == nil {
		return "", n.old
	}
	if n.parent.children[n.name] != n {
		return "", false
	}
	dir, ok := n.parent.final()
	return path.Join(dir, n.name), ok
}

// names lists, as paths in the first and in the second backup, all names that
// changed hands.
func (r *replay) names() (before, after []string) {
	for _, n := range r.nodes {
		dir, alive := n.final()
		for name := range n.changed {
			if n.old {
				before = append(before, path.Join(n.origin, name))
			}
			if alive {
				after = append(after, path.Join(dir, name))
			}
		}
	}
	return before, after
}

type touchedFile struct {
	after string // one of its paths in the second backup
	data  bool
}

// touchedFiles lists files of the first backup that are in the second too.
func (r *replay) touchedFiles() []touchedFile {
	var touched []touchedFile
	seen := map[*replayFile]bool{}
	for _, n := range r.nodes {
		p, alive := n.final()
		if alive && n.file.touched && n.file.old && !seen[n.file] {
			seen[n.file] = true
			touched = append(touched, touchedFile{p, n.file.data})
		}
	}
	return touched
}
