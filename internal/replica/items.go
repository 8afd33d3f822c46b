package replica

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// underMount is why a backup is not copied: its subvolume cannot be opened.
const underMount = "something is mounted on it"

// itemsOf describes all backups of a DEST, oldest first. One that was deleted meanwhile is not among them.
func itemsOf(s *store.Store, st *store.State) ([]Item, error) {
	var items []Item
	for _, b := range st.All() {
		item, err := itemOf(s, b)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	for _, name := range st.Hidden {
		info, err := btrfs.SubvolumeNamed(s.Dir, name)
		if errors.Is(err, btrfs.ErrNotSubvolume) {
			continue
		}
		if err != nil {
			return nil, err
		}
		later := slices.IndexFunc(items, func(i Item) bool { return i.Name > name })
		if later < 0 {
			later = len(items)
		}
		items = slices.Insert(items, later, Item{Name: name, UUID: info.UUID, Origin: originUUID(info), Hidden: true, WhyNot: underMount})
	}
	return items, nil
}

func originUUID(info btrfs.Info) btrfs.UUID { return cmp.Or(info.ReceivedUUID, info.UUID) }

func itemOf(s *store.Store, b facts.Snapshot) (Item, error) {
	item := Item{Name: b.Name, UUID: b.UUID, Origin: b.UUID, Time: b.Time, Complete: b.Status == facts.Complete, Pinned: b.Pinned(), Made: originOf(b), Known: knownOf(b), Damaged: b.Damaged()}
	if b.Unreadable != "" {
		item.WhyNot = store.Unreadable(b).Error()
		return item, nil
	}
	root, err := btrfs.OpenDirAt(s.Dir, b.Name)
	if err != nil {
		return item, err
	}
	info, err := btrfs.SubvolumeInfo(root)
	if err := errors.Join(err, root.Close()); err != nil {
		return item, err
	}
	item.UUID, item.Origin = info.UUID, originUUID(info)
	item.Base = info.ReadOnly && !receive.Changed(info)
	item.WhyNot = whyNot(b, info)
	return item, nil
}

func whyNot(b facts.Snapshot, info btrfs.Info) string {
	switch {
	case !info.ReadOnly:
		return "it can be written to, and the kernel sends nothing that can"
	case b.RecordError != "":
		return "its record cannot be read: " + b.RecordError
	case !info.ReceivedUUID.IsZero() && receive.Changed(info):
		return "it is a copy itself, and has been changed since: as a copy of the same backup it would be a false one"
	}
	return ""
}
