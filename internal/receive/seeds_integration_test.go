//go:build integration

package receive_test

import (
	"flag"
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

var update = flag.Bool("update", false, "rewrite the streams in testdata")

// TestSeeds: the streams that are mutated can be received as they are; with -update the kernel makes them anew.
func TestSeeds(t *testing.T) {
	if *update {
		writeSeeds(t)
	}
	g := targetOn(t, loopfs.New(t, "256M"))
	for _, name := range []string{"full-v1", "increment-v1", "full-v2", "increment-v2"} {
		stream, err := os.ReadFile("testdata/" + name + ".stream")
		must(t, err)
		g.mustReceive(t, stream, name)
	}
}

func writeSeeds(t *testing.T) {
	d := newDisk(t, "256M", "compress-force=zstd")
	script(t, d.subvolume(t, "s"), `
		echo hello >a; mkdir -p d/e; ln a d/b; ln -s ../../outside out; ln -s out/x d/l; mkfifo p; mknod n c 1 3; mknod k b 7 9
		yes text | head -c 20000 >d/text; setfattr -n user.x -v y a; setfattr -n trusted.y -v z d; setfacl -m u:5:rwx a; setfacl -d -m g:6:r-x d/e
		cp --reflink=always d/text d/copy; chown 1:2 d; chmod 4711 a; truncate -s 100000 h; printf x | dd of=h bs=1 seek=50000 conv=notrunc; touch -d @1 d/e`)
	one := d.snapshot(t, "s", "one")
	script(t, d.path("s"), `
		mv d f; mkdir d; mv f/e d/; rm d/../p; echo more >>a; cp --reflink=always f/text d/again; fallocate -p -o 0 -l 8192 f/copy
		ln -sfn elsewhere out; setfattr -x user.x a; setfacl -b a; truncate -s 5 f/text; mv a t; mv k a; mv t k; chattr +A h; rm f/l; mkdir f/l`)
	two := d.snapshot(t, "s", "two")
	for version, o := range map[string]btrfs.SendOptions{"v1": {}, "v2": {Version: 2, Compressed: true}} {
		o.CloneSources = []*os.File{one}
		must(t, os.WriteFile("testdata/increment-"+version+".stream", send(t, two, one, o), 0o644))
		o.CloneSources = nil
		must(t, os.WriteFile("testdata/full-"+version+".stream", send(t, one, nil, o), 0o644))
	}
}
