//go:build integration

package scan

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

const tag = "Signature: 8a477f597d28d172789f06886806bc55\n# of a program\n"

func (p *pair) tag(dirs ...string) {
	p.t.Helper()
	for _, dir := range dirs {
		testdest.Must(p.t, os.WriteFile(filepath.Join(p.src, dir, "CACHEDIR.TAG"), []byte(tag), 0o644))
	}
}

// has is all that is in the newest backup by a walk, sorted; directories end with a slash.
func (p *pair) has() []string {
	p.t.Helper()
	root := filepath.Join(p.walk, "cur") + "/"
	names := []string{}
	testdest.Must(p.t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			path += "/"
		}
		names = append(names, strings.TrimPrefix(path, root))
		return err
	}))
	slices.Sort(names)
	return names[1:]
}

func (p *pair) wantHas(want ...string) {
	p.t.Helper()
	slices.Sort(want)
	if got := p.has(); !slices.Equal(got, want) {
		p.t.Errorf("the backup has %q, want %q", got, want)
	}
}

// TestMarkedDirectories: the contents of a marked directory are left out, for any name; the directory and the mark
// stay. The next backup notices a new or removed mark, and a walk does the same as a full run.
func TestMarkedDirectories(t *testing.T) {
	t.Run("seen by a walk", func(t *testing.T) { markedDirectories(t, t.TempDir(), rsbtbackup.ScanWalk) })
	t.Run("seen by generations", func(t *testing.T) {
		src := filepath.Join(loopfs.New(t, "256M"), "src")
		testdest.NewSubvolume(t, src)
		markedDirectories(t, src, rsbtbackup.ScanGeneration)
	})
}

func markedDirectories(t *testing.T, src, mode string) {
	const odd = `od[d]*?\d` + "\n"
	p := newPairOf(t, src, "keep/a", "cache/x", "cache/sub/y", "cache/inner/z", "nosignature/x", odd+"/x", odd+"x/x", "off/.nobackup", "off/x", "off/sub/y", "dir/.nobackup/in", "dir/x", "link/x")
	p.tag("cache", "cache/inner", odd)
	testdest.Must(t, os.WriteFile(p.src+"/nosignature/CACHEDIR.TAG", []byte("Signature: 8a477f597d28d172789f0688"), 0o644))
	testdest.Must(t, os.Symlink("../cache/CACHEDIR.TAG", p.src+"/link/CACHEDIR.TAG"))
	testdest.Must(t, os.Link(p.src+"/cache/x", p.src+"/keep/linked"))
	p.set = func(o *rsbtbackup.BackupOptions) {
		o.ExcludeCaches, o.ExcludeIfPresent = true, []string{".nobackup", ".neverthere"}
	}
	want(t, p.backup(), rsbtbackup.ScanFull, "other rules")
	always := []string{"keep/", "keep/a", "keep/linked", "nosignature/", "nosignature/x", "nosignature/CACHEDIR.TAG", odd + "/", odd + "/CACHEDIR.TAG", odd + "x/", odd + "x/x", "off/", "off/.nobackup", "dir/", "dir/.nobackup/", "dir/.nobackup/in", "link/", "link/x", "link/CACHEDIR.TAG", "cache/", "cache/CACHEDIR.TAG"}
	p.wantHas(always...)

	time.Sleep(2100 * time.Millisecond)
	p.write("cache/x", "cache/new", "cache/newdir/f", "off/sub/new", "keep/b", odd+"/y")
	testdest.Must(t, os.WriteFile(p.src+"/cache/CACHEDIR.TAG", []byte(tag+"changed"), 0o644))
	want(t, p.backup(), mode, "")
	always = append(always, "keep/b")
	p.wantHas(always...)

	testdest.Must(t, errors.Join(os.Remove(p.src+"/cache/CACHEDIR.TAG"), os.WriteFile(p.src+"/keep/.nobackup", nil, 0o644)))
	want(t, p.backup(), rsbtbackup.ScanFull, "other rules")
	after := slices.DeleteFunc(slices.Clone(always), func(name string) bool {
		return name == "cache/CACHEDIR.TAG" || strings.HasPrefix(name, "keep/") && name != "keep/"
	})
	after = append(after, "keep/.nobackup", "cache/x", "cache/new", "cache/newdir/", "cache/newdir/f", "cache/sub/", "cache/sub/y", "cache/inner/", "cache/inner/CACHEDIR.TAG")
	p.wantHas(after...)
	want(t, p.backup(), mode, "")
	p.wantHas(after...)

	_, err := rsbtbackup.VerifyAgainst(t.Context(), p.walk, rsbtbackup.AgainstOptions{Source: p.src, ExcludeCaches: true, ExcludeIfPresent: []string{".nobackup"}})
	testdest.Must(t, err)
	if _, err := rsbtbackup.VerifyAgainst(t.Context(), p.walk, rsbtbackup.AgainstOptions{Source: p.src}); !errors.Is(err, rsbtbackup.ErrDiffers) {
		t.Errorf("compared without the marks: %v", err)
	}
	testdest.Must(t, os.WriteFile(p.src+"/not in the backup", nil, 0o644))
	_, err = rsbtbackup.Restore(t.Context(), rsbtbackup.RestoreOptions{Dest: p.walk, Backup: "latest", Target: p.src, Delete: true, Overwrite: rsbtbackup.OverwriteAlways})
	var lacks *rsbtbackup.LacksError
	if !errors.As(err, &lacks) || !slices.Contains(lacks.Rules, "--exclude-caches") {
		t.Errorf("a restore that deletes what was left out: %v", err)
	}

	p.tag(".")
	p.set = func(o *rsbtbackup.BackupOptions) { o.ExcludeCaches, o.Force = true, true }
	want(t, p.backup(), rsbtbackup.ScanFull, "other rules")
	p.wantHas("CACHEDIR.TAG")
}
