package doctor

import "testing"

func TestMountPoint(t *testing.T) {
	const fstab = `# UUID=1 /backup btrfs
UUID=1 / btrfs defaults 0 0
UUID=2 /backup btrfs noauto 0 0
UUID=3 /backup/inner btrfs,nofail
UUID=4 /media/my\040disk auto noauto
UUID=5 /data ext4 defaults
short
`
	for dest, want := range map[string]string{
		"/backup": "/backup", "/backup/a": "/backup", "/backup2": "", "/backup/inner/b": "/backup", "/media/my disk/x": "/media/my disk", "/data/x": "", "/x": "",
	} {
		if got := mountPoint(fstab, dest); got != want {
			t.Errorf("%s: %q, want %q", dest, got, want)
		}
	}
}
