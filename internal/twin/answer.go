package twin

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Answering is the side that has the copy, if the backup is on another host. It gets a description of the backup, and
// answers only which of the described entries differ.
type Answering struct {
	tree  *Tree
	pairs *pairs
	asked []asked // files that must be read
}

type asked struct {
	path string
	n    int
	same bool // the ranges of its holes
}

// Unlike is what differs, or could not be read, for one of the entries of a batch.
type Unlike struct {
	N      int      `json:"n"`
	What   []string `json:"what,omitempty"`
	Unread string   `json:"unread,omitempty"`
}

// Reply says what differs, and which of the entries are files whose content must be read.
type Reply struct {
	Unlike []Unlike `json:"unlike,omitempty"`
	Read   []int    `json:"read,omitempty"`
	BySums int64    `json:"by_sums,omitempty"`
}

// NewAnswering answers for the copy in tree.
func NewAnswering(tree *Tree) *Answering { return &Answering{tree: tree, pairs: newPairs()} }

// Entries compares a batch.
func (s *Answering) Entries(ctx context.Context, entries []Entry) (Reply, error) {
	var reply Reply
	s.asked = s.asked[:0]
	for n, a := range entries {
		if ctx.Err() != nil {
			return reply, context.Cause(ctx)
		}
		path := string(a.Path)
		b, err := s.tree.Describe(path)
		switch {
		case at.IsAbsent(err):
			reply.Unlike = append(reply.Unlike, Unlike{N: n, What: []string{Missing}})
			continue
		case err != nil:
			reply.Unlike = append(reply.Unlike, Unlike{N: n, Unread: err.Error()})
			continue
		}
		what := Differ(a, b)
		if i := slices.Index(what, Names); i >= 0 && b.Names <= a.Names {
			what = slices.Delete(what, i, i+1) // each missing entry is reported by its own name
		}
		if !slices.Contains(what, "type") && !a.IsDir() && !s.pairs.same(a, b) {
			what = append(what, Links)
		}
		if len(what) > 0 {
			reply.Unlike = append(reply.Unlike, Unlike{N: n, What: what})
		}
		switch {
		case !a.IsFile() || !b.IsFile() || a.Size != b.Size:
		case a.SameSums(b.Layout):
			reply.BySums++
		default:
			reply.Read = append(reply.Read, n)
			s.asked = append(s.asked, asked{path, n, a.SameHoles(b.Layout)})
		}
	}
	return reply, nil
}

// Contents compares the files that Entries has asked for, by the hashes of the other side; an empty hash stands for a
// file that could not be read there.
func (s *Answering) Contents(ctx context.Context, sums [][]byte) (Reply, error) {
	if len(sums) != len(s.asked) {
		return Reply{}, fmt.Errorf("%d files were requested, but the answer is about %d", len(s.asked), len(sums))
	}
	var reply Reply
	for i, file := range s.asked {
		if len(sums[i]) == 0 {
			continue
		}
		sum, _, err := s.tree.Hash(ctx, file.path)
		switch {
		case ctx.Err() != nil:
			return reply, context.Cause(ctx)
		case err != nil:
			reply.Unlike = append(reply.Unlike, Unlike{N: file.n, Unread: err.Error()})
		case !bytes.Equal(sum, sums[i]):
			reply.Unlike = append(reply.Unlike, Unlike{N: file.n, What: []string{Content}})
		case !file.same:
			reply.Unlike = append(reply.Unlike, Unlike{N: file.n, What: []string{Holes}})
		}
	}
	s.asked = s.asked[:0]
	return reply, nil
}
