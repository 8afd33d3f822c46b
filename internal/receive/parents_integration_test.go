//go:build integration

package receive_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
)

// TestParents: what an increment builds on is found by its own UUID too, and never if it may have been changed.
func TestParents(t *testing.T) {
	d := newDisk(t, "512M")
	script(t, d.subvolume(t, "s"), `head -c 100000 /dev/urandom >a`)
	one := d.snapshot(t, "s", "one")
	script(t, d.path("s"), `echo more >>a; cp --reflink=always a b`)
	two := d.snapshot(t, "s", "two")
	full, increment := send(t, one, nil, btrfs.SendOptions{}), send(t, two, one, btrfs.SendOptions{CloneSources: []*os.File{one}})

	t.Run("none", func(t *testing.T) {
		g := newTarget(t, "256M")
		if _, err := g.receive(t, increment, ""); !errors.Is(err, receive.ErrNoSource) || !strings.Contains(err.Error(), value(btrfs.SubvolumeInfo(one))(t).UUID.String()) {
			t.Errorf("error %v, want ErrNoSource with the UUID", err)
		}
		g.wantUntouched(t)
	})
	t.Run("elsewhere on the filesystem", func(t *testing.T) {
		mount := loopfs.New(t, "256M")
		g := targetOn(t, mount)
		other := &target{openDir(t, mount), g.work}
		other.mustReceive(t, full, "")
		if _, err := g.receive(t, increment, ""); !errors.Is(err, receive.ErrNoSource) {
			t.Errorf("error %v, want ErrNoSource", err)
		}
	})
	t.Run("by its own UUID", func(t *testing.T) {
		must(t, os.Mkdir(d.path("work"), 0o700))
		g := &target{d.top, openDir(t, d.path("work"))}
		if result := g.mustReceive(t, increment, "again"); result.Parent != "one" {
			t.Errorf("parent %q", result.Parent)
		}
		wantSameTree(t, d.path("two"), d.path("again"), look{})
	})
	t.Run("several received from it", func(t *testing.T) {
		g := newTarget(t, "256M")
		g.mustReceive(t, full, "first")
		g.mustReceive(t, full, "second")
		must(t, btrfs.CreateSnapshot(g.dest, "third", openDir(t, g.path("second")), btrfs.SnapshotOptions{ReadOnly: true}))
		change(t, openDir(t, g.path("third")))
		if result := g.mustReceive(t, increment, ""); result.Parent != "second" {
			t.Errorf("parent %q, want the newest that is as it was received", result.Parent)
		}
		wantSameTree(t, d.path("two"), g.path("two"), look{})
	})
	t.Run("changed since", func(t *testing.T) {
		g := newTarget(t, "256M")
		g.mustReceive(t, full, "")
		change(t, openDir(t, g.path("one")))
		if _, err := g.receive(t, increment, ""); !errors.Is(err, receive.ErrNoSource) || !strings.Contains(err.Error(), "one has been changed since") {
			t.Errorf("error %v, want ErrNoSource", err)
		}
		g.wantUntouched(t, "one")
	})
	t.Run("received UUID and transactions", func(t *testing.T) {
		g := newTarget(t, "256M")
		g.mustReceive(t, full, "")
		sent, got := value(btrfs.SubvolumeInfo(one))(t), value(btrfs.SubvolumeInfo(openDir(t, g.path("one"))))(t)
		if got.ReceivedUUID != sent.UUID || got.STransID != sent.CTransID || !got.ReadOnly || got.CTransID > got.RTransID {
			t.Errorf("sent %+v\nreceived %+v", sent, got)
		}
		progsReceive(t, g.dest.Name(), increment) // btrfs-progs finds it too
		wantSameTree(t, d.path("two"), g.path("two"), look{})
	})
}

func value[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// change makes a read-only subvolume writable, changes it, and makes it read-only again.
func change(t *testing.T, subvol *os.File) {
	t.Helper()
	must(t, btrfs.SetReadOnly(subvol, false))
	must(t, os.WriteFile(subvol.Name()+"/changed", nil, 0o600))
	must(t, btrfs.SetReadOnly(subvol, true))
	must(t, btrfs.Sync(subvol))
}
