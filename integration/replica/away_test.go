//go:build integration

package replica

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
	"golang.org/x/sys/unix"
)

// TestTheSessionOfAPullIsKilled in the middle of an archive, with a real sshd: its process on the other host, the ssh
// on this one, or the program that sends. One line says so, nothing half done has the name of a backup, and the next
// run does what is left.
func TestTheSessionOfAPullIsKilled(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	first := testdest.Names(t, dest)[0]
	shell(t, src, "head -c 3000000 /dev/urandom >more")
	backups(t, src, dest, 1)
	good, disk := testbin.Path(t), loopfs.New(t, "2G")
	for i, tt := range []struct{ name, kill, says string }{
		{"its process there", "kill -9 $PPID", "exit status 255: "},
		{"ssh here", "kill -9 $(cat HERE)", "signal: killed"},
		{"the program there", "kill -9 $sender", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, dir := freshDest(t, disk, "target", i), t.TempDir()
			testbin.Must(t, "copy", "-q", dest, target, first)
			write := func(name, script string) string {
				path := filepath.Join(dir, name)
				script = strings.NewReplacer("GOOD", good, "HERE", filepath.Join(dir, "pid"), "INCOMING", filepath.Join(target, ".log/incoming/incoming")).Replace(script)
				testdest.Must(t, os.WriteFile(path, []byte("#!/bin/bash\n"+script+"\n"), 0o755))
				return path
			}
			over := write("ssh", "echo $$ >HERE; exec "+ssh.Shell+` "$@"`)
			program := write("program", `
				exec 3<&0
				coproc GOOD "$@" <&3
				sender=$COPROC_PID
				dd bs=65536 count=600000 iflag=count_bytes status=none <&${COPROC[0]}
				until [ -e INCOMING ]; do sleep 0.01; done
				`+tt.kill+`
				cat <&${COPROC[0]}`)
			r := testbin.Run(t, "copy", "127.0.0.1:"+dest, target, "-e", over, "--program", program)
			code := 12
			if tt.says == "" {
				code = 1
			}
			wantExit(t, r, code, tt.says)
			if n := len(testdest.Backups(t, target)); n != 1 {
				t.Errorf("%d backups are there, want that of the first run", n)
			}
			wantNothingLeft(t, target)
			testbin.Must(t, "copy", "-q", "127.0.0.1:"+dest, target, "-e", ssh.Shell, "--program", good)
			wantCopies(t, dest, target)
			wantNothingLeft(t, target)
		})
	}
}

// TestTheTargetIsUnmounted lazily in the middle of a copy: the filesystem lives as long as the copy has it open, so the
// copy goes on in it. What it has promised is there when the filesystem is mounted again, and nothing was made in the
// directory that it was mounted on.
func TestTheTargetIsUnmounted(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	first := testdest.Names(t, dest)[0]
	shell(t, src, "head -c 60000000 /dev/urandom >large")
	backups(t, src, dest, 2)
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			image := loopfs.NewImage(t, "1G", "btrfs")
			target := testdest.On(t, image.Mount)
			testbin.Must(t, "copy", "-q", dest, target, first)
			cmd := exec.Command(testbin.Path(t), append(args(dest, target), "--bwlimit=30m")...)
			var said strings.Builder
			cmd.Stderr = &said
			testdest.Must(t, cmd.Start())
			testdest.WaitFor(t, "the copy to begin", func() bool {
				return testdest.Exists(filepath.Join(target, ".log/incoming/incoming"))
			})
			testdest.Must(t, unix.Unmount(image.Mount, unix.MNT_DETACH))
			if err := cmd.Wait(); err != nil || said.Len() > 0 {
				t.Errorf("%v\n%s", err, said.String())
			}
			if testdest.Exists(target) {
				t.Error("something was made below the mount")
			}
			image.Remount(t)
			wantCopies(t, dest, target)
			wantNothingLeft(t, target)
			wantNextToGoOn(t, dest, target, "mounted again")
		})
	}
}
