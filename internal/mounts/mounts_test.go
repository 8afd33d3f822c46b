package mounts

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	const info = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
50 22 0:318 / /mnt/a\040b rw,relatime - btrfs /dev/loop6 ro,compress-force=zstd:3,space_cache=v2,subvolid=5
51 22 0:318 /x\134y //deleted ro,noatime master:3 shared:4 - btrfs /dev/loop6 rw,space_cache=v2
52 22 0:4 net:[4026531992] /run/netns/` + "a\u00a0\r" + `\9\0 rw - nsfs nsfs rw
`
	want := Table{
		{id: 22, parent: 1, Device: "254:1", root: "/", Point: "/", Kind: "ext4", Source: "/dev/vda1"},
		{id: 50, parent: 22, Device: "0:318", root: "/", Point: "/mnt/a b", Kind: "btrfs", Source: "/dev/loop6", SuperReadOnly: true, Compressed: true},
		{id: 51, parent: 22, Device: "0:318", root: `/x\y`, Point: "//deleted", Kind: "btrfs", Source: "/dev/loop6", ReadOnly: true},
		{id: 52, parent: 22, Device: "0:4", root: "net:[4026531992]", Point: "/run/netns/a\u00a0\r" + `\9\0`, Kind: "nsfs", Source: "nsfs"},
	}
	got, err := parseMounts(info)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Mount{})); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	overlays, err := parseMounts("60 22 0:50 / /a rw - overlay overlay rw,lowerdir=/l:/m,upperdir=/u,workdir=/w\n61 22 0:51 / /b rw - overlay overlay rw,lowerdir=/other\n")
	if err != nil || overlays[0].Source != "overlay lowerdir=/l:/m upperdir=/u" || overlays[1].Source != "overlay lowerdir=/other" {
		t.Errorf("overlays: %+v, %v", overlays, err)
	}
	for _, line := range []string{
		"garbage", "52 22", "x 22 0:4 / / rw - ext4 /dev/x rw", "52 x 0:4 / / rw - ext4 /dev/x rw",
		"52 22 0:4 / rw - ext4 /dev/x rw", "52 22 0:4 / / rw - ext4", "52 22 0:4 / mnt rw - ext4 /dev/x rw",
	} {
		if got, err := parseMounts(line + "\n"); err == nil {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

// table mounts each of points on what is there then.
func table(mounts ...Mount) Table {
	var all Table
	for i, m := range mounts {
		m.id, m.parent = uint64(100+i), 1
		if on, ok := all.at(m.Point); ok {
			m.parent = on.id
		}
		all = append(all, m)
	}
	return all
}

func TestPathsOf(t *testing.T) {
	root := Mount{Device: "254:1", root: "/", Point: "/"}
	disk := func(root, point string) Mount { return Mount{Device: "0:39", root: root, Point: point} }
	other := func(point string) Mount { return Mount{Device: "0:50", root: "/", Point: point} }
	for _, c := range []struct {
		name  string
		table Table
		path  string
		want  []string
	}{
		{"one mount", table(root, disk("/", "/m")), "/m/A", []string{"/m/A"}},
		{"no mount but /", table(root), "/m/A", []string{"/m/A"}},
		{"the filesystem bound elsewhere", table(root, disk("/", "/m"), disk("/", "/src/bk")), "/m/A", []string{"/m/A", "/src/bk/A"}},
		{"the directory itself", table(root, disk("/", "/m"), disk("/A", "/src/bk")), "/m/A", []string{"/m/A", "/src/bk"}},
		{"a directory beside it, or in it", table(root, disk("/", "/m"), disk("/AB", "/x"), disk("/A/b", "/y")), "/m/A", []string{"/m/A"}},
		{"a subvolume, and the top", table(root, disk("/", "/w/top"), disk("/bsub", "/w/b")), "/w/b", []string{"/w/top/bsub", "/w/b"}},
		{"below a subvolume", table(root, disk("/@", "/x"), disk("/", "/x/top")), "/x/bk", []string{"/x/bk", "/x/top/@/bk"}},
		{"hidden by a mount above", table(root, disk("/", "/m"), disk("/", "/s/bk"), other("/s")), "/m/A", []string{"/m/A"}},
		{"hidden by a mount at the same point", table(root, disk("/", "/m"), disk("/", "/s"), other("/s")), "/m/A", []string{"/m/A"}},
		{"hidden by a mount below", table(root, disk("/", "/m"), disk("/", "/s"), other("/s/A")), "/m/A", []string{"/m/A"}},
		{"mounted on what hides", table(root, disk("/", "/m"), other("/s"), disk("/", "/s/bk")), "/m/A", []string{"/m/A", "/s/bk/A"}},
		{"twice at one point", table(root, disk("/", "/m"), disk("/", "/s"), disk("/", "/s")), "/m/A", []string{"/m/A", "/s/A"}},
		{"the same path on another disk", table(root, disk("/", "/m"), Mount{Device: "0:40", root: "/", Point: "/s"}), "/m/A", []string{"/m/A"}},
		{"a root that was removed", table(root, disk("/", "/m"), disk("/A//deleted", "/s")), "/m/A", []string{"/m/A"}},
		{"an initramfs below /", append(Table{{id: 1, parent: 1, Device: "0:1", root: "/", Point: "/"}}, table(root, disk("/", "/m"))...), "/m/A", []string{"/m/A"}},
		{"a chroot in no mount of its own", table(disk("/", "/m"), disk("/", "/s")), "/m/A", []string{"/m/A", "/s/A"}},
		{"of which DEST is in the outer one", table(other("/m")), "/A", nil},
		{"an endless chain", Table{{id: 1, parent: 2, Device: "a", root: "/", Point: "/"}, {id: 2, parent: 1, Device: "a", root: "/", Point: "/"}}, "/A", nil},
	} {
		got, ok := c.table.PathsOf(c.path)
		if diff := cmp.Diff(c.want, got); diff != "" || ok != (c.want != nil) {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, ok, diff)
		}
	}
}

func TestMountsBelow(t *testing.T) {
	mounts := table(
		Mount{Device: "254:1", root: "/", Point: "/"},
		Mount{Device: "0:39", root: "/", Point: "/m"},
		Mount{Device: "0:39", root: "/A/x", Point: "/s"},
	)
	for _, c := range []struct{ dir, path, want string }{
		{"/m/A", "/s", "x"},
		{"/m/A", "/s/y", "x/y"},
		{"/m/A/x", "/s", "."},
		{"/m/A/x/y", "/s", ""},
		{"/m/B", "/s", ""},
		{"/x", "/s", ""},
		{"/s", "/m/A/x/y", "y"},
	} {
		if got, ok := mounts.Below(c.dir, c.path); got != c.want || ok != (c.want != "") {
			t.Errorf("%s in %s: %q, %v, want %q", c.path, c.dir, got, ok, c.want)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n23 22 0:39 /a\\040b /mnt rw - btrfs /dev/sda rw\n", "/mnt/x")
	f.Add("1 1 0:1 / / rw - rootfs rootfs rw\n2 1 0:1 /x//deleted /x rw - rootfs rootfs rw", "/x")
	f.Add("1 2 a / / - - - - -\n2 1 a / / - - - - -", "/")
	f.Fuzz(func(t *testing.T, info, path string) {
		mounts, err := parseMounts(info)
		path = filepath.Clean("/" + path)
		if err != nil {
			return
		}
		paths, ok := mounts.PathsOf(path)
		if !ok && len(paths) > 0 {
			t.Errorf("not known, and yet %q", paths)
		}
		for _, p := range paths {
			if !filepath.IsAbs(p) {
				t.Errorf("%q is not absolute", p)
			}
		}
	})
}

func TestTails(t *testing.T) {
	for path, want := range map[string][]string{"/": {"/", ""}, "/a/b": {"/a/b", "/b", ""}} {
		if got := Tails(path); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
