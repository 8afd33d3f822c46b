package transfer

import (
	"fmt"
	"slices"
	"testing"
)

func TestUnread(t *testing.T) {
	for _, c := range []struct {
		line string
		want Unread
	}{
		{`IO error encountered -- skipping file deletion`, Unread{DeletionsSkipped: true}},
		{`rsync: [sender] opendir "/s/a b" failed: Permission denied (13)`, Unread{Paths: []string{"/s/a b"}}},
		{`rsync: opendir "/s/old" failed: Permission denied (13)`, Unread{Paths: []string{"/s/old"}}},
		{`rsync: [sender] opendir "/dir" (in module) failed: Permission denied (13)`, Unread{Paths: []string{"/dir"}}},
		{`rsync: [sender] opendir "/s/new\#012line" failed: Permission denied (13)`, Unread{Paths: []string{"/s/new\nline"}}},
		{`rsync: [sender] readlink_stat("/s/x") failed: Transport endpoint is not connected (107)`, Unread{Paths: []string{"/s/x"}}},
		{`rsync: [sender] readlink_stat("/x" (in module)) failed: Permission denied (13)`, Unread{Paths: []string{"/x"}}},
		{`rsync: [sender] send_files failed to open "/s/f": Permission denied (13)`, Unread{Paths: []string{"/s/f"}}},
		{`rsync: [sender] read errors mapping "/s/f": Input/output error (5)`, Unread{Paths: []string{"/s/f"}}},
		{`rsync: [sender] readdir("/s/d"): Input/output error (5)`, Unread{Paths: []string{"/s/d"}}},
		{`rsync: [sender] get_acl: sys_acl_get_file(./d/e, ACL_TYPE_ACCESS): Transport endpoint is not connected (107)`, Unread{Paths: []string{"./d/e"}}},
		{`rsync: [generator] get_acl: sys_acl_get_file(d, ACL_TYPE_DEFAULT): Permission denied (13)`, Unread{}},
		{`rsync: [receiver] mkstemp "/d/f" failed: Permission denied (13)`, Unread{}},
		{`rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1394) [sender=3.5.0]`, Unread{}},
		{`file has vanished: "/s/f"`, Unread{}},
		{`[sender] cannot convert filename: x (Invalid or incomplete multibyte or wide character)`, Unread{Unclear: true}},
		{`rsync: [sender] something new "/s/f": Input/output error (5)`, Unread{Unclear: true}},
	} {
		var u Unread
		u.note(c.line)
		if u.DeletionsSkipped != c.want.DeletionsSkipped || u.Unclear != c.want.Unclear || !slices.Equal(u.Paths, c.want.Paths) {
			t.Errorf("%s: %+v, want %+v", c.line, u, c.want)
		}
	}
}

func TestUnreadSpares(t *testing.T) {
	for _, c := range []struct {
		root, unread, path string
		want               bool
	}{
		{"/s", "/s/a/b", "a/b", true},
		{"/s", "/s/a/b", "a/b/c", true},
		{"/s", "/s/a/b", "a", true},
		{"/s", "/s/a/b", "a/bc", false},
		{"/s", "/s/a/b", "a/c", false},
		{"/", "/a/b", "a/b/c", true},
		{"/", "/a/b", "c", false},
		{"/s", "/s", "anything", true},
		{"/s", "/elsewhere", "anything", true},
		{"", "/home/u/s/a/b", "a/b", true},
		{"", "/home/u/s/a/b", "a/b/c", true},
		{"", "/home/u/s/a/b", "a", true},
		{"", "/home/u/s/a/b", "c", false},
		{"", "/home/u/s/a/b", "b/c", true}, // it may be the source that is called a
		{"", "dir", "dir/x", true},
		{"/s", "./dir", "dir/x", true},
		{"/s", "./dir", "directory", false},
	} {
		u := Unread{Paths: []string{c.unread}}
		if got := u.Spares(c.root)(c.path); got != c.want {
			t.Errorf("%q with %q unread below %q: spared %v, want %v", c.path, c.unread, c.root, got, c.want)
		}
	}
}

// The work grows with the paths, not with the pairs of them, which would take an hour here.
func TestManyUnread(t *testing.T) {
	var u Unread
	for i := range maxUnread {
		u.Paths = append(u.Paths, fmt.Sprintf("/home/u/src/dir/%d/closed", i))
	}
	for _, root := range []string{"/home/u/src", ""} {
		spares := u.Spares(root)
		for i := range 50 * maxUnread {
			path := fmt.Sprintf("dir/%d", i)
			if below := i < maxUnread; spares(path) != below || spares(path+"/closed/file") != below || spares(path+"/open") {
				t.Fatalf("%q below %q", path, root)
			}
		}
	}
}
