package replay

import (
	"fmt"
	"path"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

func ParentOf(p string) string {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return ""
	}
	return p[:i]
}

// Tree is the tree that the stream is applied to.
type Tree struct {
	root  *node
	nodes []*node // all of them
}

// node is a name. Names of the first backup are added when a command mentions them.
type node struct {
	origin   string // path in the first backup
	old      bool   // there is such a path
	parent   *node
	name     string
	children map[string]*node    // nil for a removed name
	changed  map[string]struct{} // names in it that were removed or added
	file     *file
}

// file is an inode, which may have several names.
type file struct {
	nodes         []*node
	old           bool
	touched, data bool // anything on it, its bytes
}

func New() *Tree {
	r := &Tree{}
	r.root = r.node(nil, "", "", true)
	return r
}

func (r *Tree) node(parent *node, name, origin string, old bool) *node {
	n := &node{origin: origin, old: old, parent: parent, name: name, file: &file{old: old}}
	n.file.nodes = []*node{n}
	r.nodes = append(r.nodes, n)
	return n
}

func (r *Tree) Do(command sendstream.Command) error {
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
	return nil // the first and last command of a stream
}

func (r *Tree) resolve(p string) (*node, error) {
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

func (n *node) set(name string, child *node) {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	n.children[name] = child
}

// change points the name to child, or removes it.
func (n *node) change(name string, child *node) {
	n.set(name, child)
	if n.changed == nil {
		n.changed = map[string]struct{}{}
	}
	n.changed[name] = struct{}{}
	if child != nil {
		child.parent, child.name = n, name
	}
}

func (r *Tree) place(p string, child *node) error {
	dir, err := r.resolve(ParentOf(p))
	if err == nil {
		dir.change(path.Base(p), child)
	}
	return err
}

func (r *Tree) make(p string) error { return r.place(p, r.node(nil, "", "", false)) }

func (r *Tree) rename(from, to string) error {
	n, err := r.resolve(from)
	if err != nil {
		return err
	}
	n.parent.change(n.name, nil)
	return r.place(to, n)
}

func (r *Tree) link(p, target string) error {
	n, err := r.resolve(target)
	if err != nil {
		return err
	}
	alias := r.node(nil, "", "", false)
	alias.file = n.file
	n.file.nodes = append(n.file.nodes, alias)
	return r.place(p, alias)
}

func (r *Tree) remove(p string) error {
	n, err := r.resolve(p)
	if err != nil {
		return err
	}
	n.parent.change(n.name, nil)
	return nil
}

func (r *Tree) touch(p string, data bool) error {
	n, err := r.resolve(p)
	if err != nil {
		return err
	}
	n.file.touched = true
	n.file.data = n.file.data || data
	return nil
}

// final is the last path of the node, if it still exists.
func (n *node) final() (string, bool) {
	if n.parent == nil {
		return "", n.old
	}
	if n.parent.children[n.name] != n {
		return "", false
	}
	dir, ok := n.parent.final()
	return path.Join(dir, n.name), ok
}

// Names lists, as paths in the first and in the second backup, all names that refer to another file than before.
func (r *Tree) Names() (before, after []string) {
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
	After string // one of its paths in the second backup
	Data  bool
}

// TouchedFiles lists files of the first backup that are in the second too.
func (r *Tree) TouchedFiles() []touchedFile {
	var touched []touchedFile
	seen := map[*file]bool{}
	for _, n := range r.nodes {
		p, alive := n.final()
		if alive && n.file.touched && n.file.old && !seen[n.file] {
			seen[n.file] = true
			touched = append(touched, touchedFile{p, n.file.data})
		}
	}
	return touched
}
