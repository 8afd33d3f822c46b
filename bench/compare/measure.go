package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/subvol"
)

// scenario is what is measured, round by round, of all programs that can do it.
type scenario struct {
	name   string
	change func(src string, s sizes, round int) error // done to the source before each round
	cold   bool                                       // with empty caches
	space  bool                                       // what it takes on the destination is measured too, in the last round
	most   int                                        // rounds; 0: as many as are asked for
	do     func(p *peer) func(place) error            // nil: the program has nothing like it
}

func backup(p *peer) func(place) error { return p.backup }

// ofSource are the scenarios that depend on the filesystem of the source.
func ofSource() []scenario {
	return []scenario{
		{name: "unchanged, warm", do: backup},
		{name: "unchanged, cold", do: backup, cold: true},
		{name: "1 % of the files changed", do: backup, change: churn, space: true},
		{name: "4 KB changed in a large file", do: backup, change: patch, space: true},
		{name: "a large directory renamed", do: backup, change: move, space: true},
	}
}

// Sources on btrfs with nothing but one large file, without and with holes.
const (
	fileOnBtrfs  = "file"
	imageOnBtrfs = "image"
)

// ofFile and ofImage are their scenarios.
func ofFile() []scenario {
	return []scenario{{name: "4 KB changed in 1 GB", do: backup, change: patch, space: true}}
}

func ofImage() []scenario {
	return []scenario{{name: "4 KB changed in a sparse image", do: backup, change: patchImage, space: true}}
}

// ofDest are the others.
func ofDest(l *lab) []scenario {
	target := l.restored()
	return []scenario{
		{name: "list", do: func(p *peer) func(place) error { return p.list }},
		{name: "verify", most: 2, cold: true, do: func(p *peer) func(place) error { return p.verify }},
		{name: "restore", most: 3, do: func(p *peer) func(place) error {
			if p.restore == nil {
				return nil
			}
			return func(at place) error {
				if err := p.restore(at, target); err != nil {
					return err
				}
				return l.do("sync", "-f", filepath.Dir(target))
			}
		}},
		{name: "delete the oldest backup", most: 3, do: func(p *peer) func(place) error { return p.drop }},
	}
}

// restored is where backups are restored to.
func (l *lab) restored() string { return filepath.Join(l.dir, "from-ext4", "restored") }

// bench is one source, with a place for each program.
type bench struct {
	*lab
	fs     string
	peers  []*peer
	places map[*peer]*place
	found  *results
}

// measureFrom measures everything from a source on one type of filesystem.
func (l *lab) measureFrom(fs string, found *results) error {
	b := &bench{lab: l, fs: fs, places: map[*peer]*place{}, found: found}
	all := ofSource()
	switch fs {
	case fileOnBtrfs:
		all = ofFile()
	case imageOnBtrfs:
		all = ofImage()
	case "ext4":
		all = append(all, ofDest(l)...)
	}
	any := l.wanted(fs + "/first backup")
	for _, s := range all {
		any = any || l.wanted(fs+"/"+s.name)
	}
	if !any {
		return nil
	}
	for _, p := range l.peers {
		if p.version != "" && p.reads(fs) && (p.name == ours || hasAny(p.name, l.with)) {
			b.peers = append(b.peers, p)
		}
	}
	if err := l.source(fs); err != nil {
		return err
	}
	if err := b.first(); err != nil {
		return err
	}
	for _, s := range all {
		if !l.wanted(fs + "/" + s.name) {
			continue
		}
		if err := b.rounds(s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// first makes the first backup of each program, into a new place in each round; the last ones stay.
func (b *bench) first() error {
	rounds, name := b.few(3), b.fs+"/first backup"
	if !b.wanted(name) {
		rounds = 1
	}
	for round := range rounds {
		for _, p := range b.peers {
			if old := b.places[p]; old != nil {
				if err := b.remove(old.dest); err != nil {
					return err
				}
			}
			at := &place{dest: filepath.Join(b.dest, fmt.Sprintf("%s-%s-%d", filepath.Base(p.name), b.fs, round)), src: b.sources[b.fs]}
			if err := b.do("btrfs", "-q", "subvolume", "create", at.dest); err != nil {
				return err
			}
			if err := p.init(*at); err != nil {
				return err
			}
			took, err := b.once(false, func() error { return p.backup(*at) })
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			at.made++
			b.places[p] = at
			if b.wanted(name) {
				b.found.add(name, p.name, took, nil)
			}
		}
	}
	return nil
}

// few is how many rounds there are of what takes long.
func (b *bench) few(most int) int {
	if b.quick {
		most = 1
	}
	return min(most, b.options.rounds)
}

// remove removes a place, with all subvolumes in it.
func (b *bench) remove(path string) error {
	dir, err := btrfs.OpenDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return subvol.Remove(context.Background(), dir, filepath.Base(path))
}

// once measures one call, with nothing left to be written by those before it.
func (b *bench) once(cold bool, do func() error) (time.Duration, error) {
	ready := b.settle
	if cold {
		ready = b.forget
	}
	if err := ready(); err != nil {
		return 0, err
	}
	return b.timed(do)
}

// rounds measures a scenario.
func (b *bench) rounds(s scenario) error {
	rounds := b.options.rounds
	if s.most > 0 {
		rounds = b.few(s.most)
	}
	for round := range rounds {
		if s.change != nil {
			if err := s.change(b.sources[b.fs], b.size, round); err != nil {
				return err
			}
		}
		for _, p := range b.peers {
			do := s.do(p)
			if do == nil || p.full && s.name != "restore" {
				continue
			}
			if err := b.round(s, p, do, s.space && round == rounds-1); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return nil
}

func (b *bench) round(s scenario, p *peer, do func(place) error, space bool) error {
	at := b.places[p]
	before, err := b.usedNow(space)
	if err != nil {
		return err
	}
	took, err := b.once(s.cold, func() error { return do(*at) })
	if err != nil {
		return err
	}
	after, err := b.usedNow(space)
	if err != nil {
		return err
	}
	var added *int64
	if space {
		n := after - before
		added = &n
	}
	switch s.name {
	case "restore":
		if err := os.RemoveAll(b.restored()); err != nil {
			return err
		}
	case "delete the oldest backup":
		at.made--
	case "list", "verify":
	default:
		at.made++
	}
	b.found.add(b.fs+"/"+s.name, p.name, took, added)
	return nil
}

// usedNow is what is used when what was deleted is gone; 0 if it is not wanted.
func (b *bench) usedNow(wanted bool) (int64, error) {
	if !wanted {
		return 0, nil
	}
	dest, err := btrfs.OpenDir(b.dest)
	if err != nil {
		return 0, err
	}
	defer dest.Close()
	if _, err := btrfs.WaitDeleted(b.ctx, dest); err != nil {
		return 0, err
	}
	return b.used()
}
