//go:build integration

package receive_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// corner is a tree and what happens to it, as shell commands run in it.
type corner struct {
	name          string
	before, after string
	flags         bool // the flags of chattr(1) take part; version 1 has none
	zeros         bool // what is allocated but not written is sent as zeros
	progsCannot   bool // btrfs-progs 6.2 fails, or makes something else than the sender has
}

// corners are what send streams are known to be difficult about.
var corners = []corner{
	{name: "plain", before: `
		mkdir -p d/e; echo hello >d/e/f; echo inline >g; head -c 300000 /dev/urandom >h; : >empty`, after: `
		echo more >>d/e/f; mv g d/g; rm h; echo new >i`},
	{name: "clones within a file", before: `head -c 262144 /dev/urandom >f`, after: `
		head -c 65536 f >part; dd if=part of=f bs=65536 seek=4 conv=notrunc; cp --reflink=always f copy; cat f >>f2; cp --reflink=always f2 f3`},
	{name: "clones across files", before: `head -c 1000000 /dev/urandom >a; cp --reflink=always a b; cp --reflink=always b c`, after: `
		cp --reflink=always a d; rm a; mv b a; cp --reflink=always c e; echo tail >>e`},
	{name: "clone of a file removed", before: `head -c 1000000 /dev/urandom >a`, after: `cp --reflink=always a b; rm a`},
	{name: "unaligned tail cloned onto a longer file", before: `head -c 100001 /dev/urandom >a; head -c 300000 /dev/urandom >b`, after: `
		cp --reflink=always a b`},
	{name: "unaligned tail cloned onto a shorter file", before: `head -c 300001 /dev/urandom >a; head -c 1000 /dev/urandom >b`, after: `
		cp --reflink=always a b; cp --reflink=always b c; truncate -s 50001 c`},
	{name: "grown and cut", before: `head -c 100001 /dev/urandom >a; head -c 70000 /dev/urandom >b; echo x >c`, after: `
		truncate -s 50001 a; truncate -s 5000000 b; head -c 3 /dev/urandom >>b; truncate -s 0 c; echo y >>c`},
	{name: "capability", before: `cp /bin/true a; setcap cap_net_raw+ep a; cp /bin/true b; setcap cap_net_raw+ep b; cp /bin/true c`, after: `
		chown 1:2 a; setcap cap_net_raw+ep a; echo x >>b; setcap cap_net_raw+ep b; setcap cap_chown+p c; chown 3 c; setcap cap_chown+p c`},
	{name: "capability goes", before: `cp /bin/true a; setcap cap_net_raw+ep a; cp /bin/true b; setcap cap_net_raw+ep b`, after: `chown 1:2 a; echo x >>b`},
	{name: "set-id bits", progsCannot: true, before: `echo a >a; chmod 6755 a; echo b >b; chown 5:6 b; chmod 4711 b; mkdir d; chmod 7777 d; echo w >w; chmod 4755 w`, after: `
		chown 1:2 a; chmod 6755 a; chown 7 b; chmod 4711 b; chgrp 9 d; chmod 7777 d; echo more >>w; chmod 4755 w`},
	{name: "immutable", flags: true, progsCannot: true, before: `echo a >a; echo b >b; echo c >c; mkdir d; echo e >d/e; mkdir f; echo g >g; echo h >h`, after: `
		echo changed >a; chattr +i a; chattr +a b; chattr +i d; chattr +A h`},
	{name: "immutable changes", flags: true, progsCannot: true, before: `
		echo a >a; echo b >b; mkdir d; echo e >d/e; echo g >g; echo r >r`, after: `
		chattr +i a g r; chattr +a b; chattr +i d`},
	{name: "flags of files that stay", flags: true, progsCannot: true, before: `: >nocow; echo x >nodump; mkdir d`, after: `
		chattr +C nocow; chattr +d nodump; chattr +C d; chattr +c d || true`},
	{name: "no copy on write", before: `: >n; chattr +C n; head -c 200000 /dev/urandom >>n; head -c 200000 /dev/urandom >c`, after: `
		: >m; chattr +C m; cat n >>m; cp --reflink=always n o || true; echo x >>n`},
	{name: "holes", before: `truncate -s 10M a; printf x | dd of=a bs=1 seek=5000000 conv=notrunc; head -c 1000000 /dev/urandom >b`, after: `
		fallocate -p -o 65536 -l 131072 b; fallocate -p -o 900000 -l 100000 b; truncate -s 20M b; fallocate -p -o 4000000 -l 2000000 a`},
	{name: "fallocate", zeros: true, before: `fallocate -l 1M a; echo x >b; fallocate -n -l 1M b; head -c 500000 /dev/urandom >c`, after: `
		printf y | dd of=a bs=1 seek=500000 conv=notrunc; fallocate -l 2M c; fallocate -z -o 4096 -l 8192 c`},
	{name: "sparse terabyte", before: `truncate -s 1T a; printf x | dd of=a bs=1 seek=999999999999 conv=notrunc`, after: `printf y | dd of=a bs=1 seek=12345678901 conv=notrunc`},
	{name: "orphan names", before: `mkdir -p a/b c; echo 1 >x; echo 2 >y; echo 3 >a/b/z`, after: `
		mv x t; mv y x; mv t y; mv a/b b; mv a b/a; mv c t; mv b c; mv t b`},
	{name: "turned inside out", before: `mkdir -p a/b/c/d; echo f >a/b/c/d/f`, after: `
		mv a/b/c/d .; mv a/b/c d/; mv a/b d/c/; mv a d/c/b/`},
	{name: "names change kind", before: `echo f >f; mkdir d; echo x >d/x; ln -s t s; mkfifo p; echo i >i`, after: `
		rm -r f d s p; mkdir f; echo d >d; echo s >s; ln -s u p; rm i; mkdir -p i/i/i`},
	{name: "a name that looks like an orphan's", before: `echo x >o257-7-0; mkdir o258-7-0; echo y >o259-8-0`, after: `
		mv o257-7-0 o258-7-0/; echo z >o257-8-0; rm o259-8-0; mkdir o259-8-0`},
	{name: "directory becomes a subvolume", before: `mkdir -p d/e; echo f >d/f; echo g >d/e/g`, after: `
		rm -r d; btrfs -q subvolume create d; echo h >d/h`},
	{name: "subvolume becomes a directory", before: `btrfs -q subvolume create d; echo h >d/h`, after: `
		btrfs -q subvolume delete d; mkdir -p d/e; echo f >d/f`},
	{name: "subvolume in a directory that goes", progsCannot: true, before: `mkdir d; btrfs -q subvolume create d/s; echo x >d/x`, after: `
		btrfs -q subvolume delete d/s; rm -r d; mkdir d`},
	{name: "large attributes", before: `
		echo a >a; setfattr -n user.big -v "$(head -c 15000 /dev/zero | tr '\0' x)" a
		for i in $(seq 100); do setfattr -n user.n$i -v "$(head -c 100 /dev/zero | tr '\0' y)" a; done; mkdir d; setfattr -n trusted.e d`, after: `
		setfattr -n user.big -v "$(head -c 14000 /dev/zero | tr '\0' z)" a; setfattr -x user.n50 a; setfattr -n user.empty a; setfattr -x trusted.e d`},
	{name: "attributes of what is not opened", before: `
		ln -s nowhere l; setfattr -h -n trusted.x -v 1 l; mkfifo p; setfattr -n trusted.x -v 2 p; mknod n c 1 3; setfattr -n trusted.x -v 3 n`, after: `
		setfattr -h -n trusted.x -v 4 l; setfattr -x trusted.x p; setfattr -n trusted.y -v 5 n; chmod 0 n; chown -h 3:4 l p n`},
	{name: "access control lists", progsCannot: true, before: `
		echo a >a; setfacl -m u:1234:rwx a; mkdir d; setfacl -d -m g:99:r-x d; echo b >d/b; setfacl -m m::r a`, after: `
		setfacl -b a; setfacl -m u:77:--x d/b; mkdir d/e; echo c >d/e/c; setfacl -k d`},
	{name: "root with a default list", progsCannot: true, before: `
		setfacl -d -m u:55:rwx .; setfacl -m u:56:r-x .; echo inherits >a; mkdir d; echo not >b; setfacl -b b; mkdir e; setfacl -b e`, after: `
		echo new >n; setfacl -b n; mkdir m; mkdir k; setfacl -b k; setfacl -d -m u:57:rw- .`},
	{name: "root with set-gid and a property", progsCannot: true, before: `
		chown 0:77 .; chmod 2775 .; btrfs property set . compression zstd; echo a >a; mkdir d; echo b >b; setfattr -x btrfs.compression b`, after: `
		echo c >c; echo d >e; setfattr -x btrfs.compression e; btrfs property set . compression lzo; ln -s x y`},
	{name: "root loses what is inherited", before: `
		setfacl -d -m u:55:rwx .; btrfs property set . compression zstd; echo a >a`, after: `
		setfacl -k .; setfattr -x btrfs.compression .; echo b >b`},
	{name: "hard links by the thousand", before: `
		echo f >f; mkdir d e; for i in $(seq 1500); do ln f d/a-rather-long-name-for-a-link-$i; done`, after: `
		rm f; for i in $(seq 500); do rm d/a-rather-long-name-for-a-link-$i; done; for i in $(seq 200); do ln d/a-rather-long-name-for-a-link-1000 e/$i; done; mv d g`},
	{name: "hard link moves", before: `mkdir a b; echo x >a/x; ln a/x b/y; echo z >z; ln z w`, after: `
		mv b/y b/q; rm a/x; rm z; mkdir z; mv w z/z; ln z/z w2`},
	{name: "special files", before: `mkfifo p; mknod c c 300 70000; mknod b b 7 255`, after: `
		rm p; mknod p c 1 3; chmod 4600 c; mv b b2`},
	{name: "links", before: `ln -s "$(head -c 3900 /dev/zero | tr '\0' t)" long; ln -s / abs; ln -s ../../.. up; ln -s 'a
b' nl`, after: `ln -sfn other abs; mv up down; chown -h 12:34 nl; rm long`},
	{name: "times", before: `echo a >a; touch -d '1901-12-13 20:45:52' a; echo b >b; touch -d '2106-02-07 06:28:16.123456789' b; mkdir d; touch -d @-1.5 d; touch -d @0 .`, after: `
		touch -d '1969-12-31 23:59:59.999999999' b; touch -d '2446-05-10' d; echo c >d/c; touch -d @1.000000001 d; touch -d @2 .`},
	{name: "modes of nothing", before: `echo a >a; chmod 0 a; mkdir d; echo x >d/x; chmod 0 d; chmod 0 .`, after: `chmod 755 .; echo b >>a; echo y >d/y; chmod 0 .`},
	{name: "long names", before: `
		n=$(head -c 255 /dev/zero | tr '\0' n); echo x >$n; mkdir m; cd m; for i in $(seq 14); do mkdir $n; cd $n; done; echo deep >deep`, after: `
		n=$(head -c 255 /dev/zero | tr '\0' n); mv $n ${n%nn}mm; cd m; for i in $(seq 14); do cd $n; done; echo more >>deep; ln deep link`},
	{name: "all is gone", before: `mkdir -p a/b c; for i in $(seq 200); do echo $i >a/$i; ln a/$i c/$i; done; mkfifo a/b/p`, after: `rm -r a c`},
	{name: "nothing changes", before: `echo a >a`, after: `true`},
	{name: "compressible", before: `yes text | head -c 1000000 >a; head -c 4000000 /dev/zero >z; yes x | head -c 5000 >s`, after: `
		yes other | dd of=a bs=4096 seek=10 count=50 conv=notrunc iflag=fullblock; yes tail | head -c 70001 >>a; cp --reflink=always a b; truncate -s 300001 b`},
}

// versions of the stream. Version 1 writes zeros where a hole was made in a file that was there before.
var versions = []struct {
	name    string
	options btrfs.SendOptions
}{
	{"1", btrfs.SendOptions{}},
	{"2", btrfs.SendOptions{Version: 2}},
	{"2 compressed", btrfs.SendOptions{Version: 2, Compressed: true}},
}

func script(t testing.TB, dir, commands string) {
	t.Helper()
	cmd := exec.Command("bash", "-ec", commands)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, out)
	}
}

// TestCorners: the whole and the increment make what the sender has, and what btrfs-progs makes of the same stream.
func TestCorners(t *testing.T) {
	d := newDisk(t, "4G", "compress=zstd")
	mount := loopfs.New(t, "4G")
	for _, c := range corners {
		t.Run(c.name, func(t *testing.T) {
			id := strings.ReplaceAll(c.name, " ", "-")
			work := d.subvolume(t, id)
			script(t, work, c.before)
			before := d.snapshot(t, id, id+".before")
			script(t, work, c.after)
			after := d.snapshot(t, id, id+".after")
			for _, v := range versions {
				t.Run(v.name, func(t *testing.T) {
					how := look{noFlags: !c.flags || v.options.Version < 2, noHoles: c.zeros || v.options.Version < 2}
					clones := v.options
					clones.CloneSources = []*os.File{before}
					streams := [][]byte{send(t, before, nil, v.options), send(t, after, before, clones)}
					g := targetOn(t, filepath.Join(mount, fmt.Sprintf("%s.%s", id, v.name)))
					for i, name := range []string{id + ".before", id + ".after"} {
						if result := g.mustReceive(t, streams[i], ""); result.Name != name || len(result.Notices) > 0 {
							t.Errorf("result %+v", result)
						}
						wantSameTree(t, d.path(name), g.path(name), look{how.noFlags, how.noHoles && i == 1})
					}
					g.wantUntouched(t, id+".after", id+".before")
					if c.progsCannot {
						return
					}
					progs := filepath.Join(mount, fmt.Sprintf("%s.%s.progs", id, v.name))
					must(t, os.Mkdir(progs, 0o755))
					progsReceive(t, progs, streams...)
					wantSameTree(t, filepath.Join(progs, id+".after"), g.path(id+".after"), look{noFlags: true, noHoles: true})
				})
			}
		})
	}
}
