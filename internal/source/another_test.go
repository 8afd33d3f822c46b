package source

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestAnotherSource(t *testing.T) {
	t.Parallel()
	now := facts.SourceIdentity{FSType: unix.EXT4_SUPER_MAGIC, UUID: "a", Inode: 7}
	of := func(change func(*facts.SourceIdentity)) *facts.SourceIdentity {
		was := now
		change(&was)
		return &was
	}
	bare := of(func(i *facts.SourceIdentity) { i.FSType, i.UUID, i.Inode = unix.OVERLAYFS_SUPER_MAGIC, "", 0 })
	for _, tt := range []struct {
		name    string
		source  Source
		newest  *facts.Snapshot
		changed bool
		place   string
	}{
		{"a first backup", Source{Shown: "/s", Identity: &now}, nil, false, ""},
		{"no record", Source{Shown: "/s", Identity: &now}, &facts.Snapshot{}, false, ""},
		{"the same directory", Source{Shown: "/s", Identity: &now}, madeFrom("/s", &now, "h"), false, ""},
		{"another path", Source{Shown: "/s", Identity: &now}, madeFrom("/t", &now, "h"), true, ""},
		{"another filesystem", Source{Shown: "/s", Identity: &now},
			madeFrom("/s", of(func(i *facts.SourceIdentity) { i.UUID = "b" }), "h"), true, "is on another filesystem"},
		{"another directory", Source{Shown: "/s", Identity: &now},
			madeFrom("/s", of(func(i *facts.SourceIdentity) { i.Inode = 8 }), "h"), true, "is another directory"},
		{"another mount below it", Source{Shown: "/s", Identity: &now, Changed: []ChangedMount{{Path: "d"}}}, madeFrom("/s", &now, "h"), true, ""},
		{"a record without an identity", Source{Shown: "/s", Identity: &now}, madeFrom("/s", nil, "h"), false, ""},
		{"another host name, and the same disk", Source{Shown: "/s", Identity: &now, Host: "i"}, madeFrom("/s", &now, "h"), false, ""},
		{"another host, and nothing that identifies the disk", Source{Shown: "/s", Identity: bare, Host: "i"}, madeFrom("/s", bare, "h"), true, ""},
		{"the same host, and nothing that identifies the disk", Source{Shown: "/s", Identity: bare, Host: "h"}, madeFrom("/s", bare, "h"), false, ""},
		{"a remote one", Source{Shown: "web:/s"}, madeFrom("web:/s", nil, "h"), false, ""},
		{"a remote one with a slash at its end", Source{Shown: "web:/s/"}, madeFrom("web:/s", nil, "h"), false, ""},
		{"the root of a host, and the home directory there", Source{Shown: "web:/"}, madeFrom("web:", nil, "h"), true, ""},
		{"another remote one", Source{Shown: "web:/s"}, madeFrom("web:/t", nil, "h"), true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.source.IsChanged(tt.newest); got != tt.changed {
				t.Errorf("changed: %v, want %v", got, tt.changed)
			}
			if got := tt.source.OtherPlace(tt.newest); got != tt.place {
				t.Errorf("place: %q, want %q", got, tt.place)
			}
		})
	}
}

func madeFrom(source string, identity *facts.SourceIdentity, host string) *facts.Snapshot {
	return &facts.Snapshot{Record: &facts.Record{Source: source, SourceFS: identity, Host: host}}
}
