package imports

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

var update = flag.Bool("update", false, "rewrite testdata")

const rsnapshotConf = `
config_version	1.2
snapshot_root	/.snapshots/
cmd_rsync	/usr/bin/rsync
cmd_preexec	/root/mount.sh
retain	hourly	6
retain	daily	7
verbose	2
ssh_args	-p 2222
rsync_long_args	--delete --numeric-ids --bwlimit=500 --fuzzy --rsync-path="sudo rsync" --exclude=*.o
exclude	*.tmp
include	/home/keep/
exclude	/home/me/tmp
exclude	/var/www/log
exclude_file	/etc/excludes
one_fs	1
nonsense
backup	/home/	localhost/
backup	/	localhost/	one_fs=0,exclude=/proc
backup	root@example.com:/var/www/	example.com/	+rsync_long_args=--bwlimit=16,exclude=core,exclude_file=/etc/own,include=keep,rsync_numtries=3,other=1
backup	rsync://rsync.samba.org/rsyncftp/	samba/
backup	lvm://vg0/xen-home/	lvm/
backup	etc/	localhost/
backup_script	/usr/local/bin/dump.sh	localhost/mysql/
`

// As in the rsnapshot.conf that the project ships.
const rsnapshotLevels = `
snapshot_root	/.snapshots/
retain	alpha	6
retain	beta	7
retain	gamma	4
backup	/home/	localhost/
`

const btrbkConf = `
transaction_log  /var/log/btrbk.log
snapshot_preserve_min   2d
target_preserve_min     no
target_preserve         20d 10w *m   # much
ssh_identity /etc/btrbk/ssh/id
stream_compress zstd
archive_preserve 1y

volume /mnt/btr_pool
  snapshot_dir btrbk_snapshots
  target send-receive /mnt/backup
  subvolume home
    target_preserve 5h
    target_preserve_min 30d
  subvolume rootfs
    target /mnt/other
    target raw /mnt/raw
  subvolume data*

volume ssh://web.example.com/srv
  ssh_user btrbk
  subvolume www
    target ssh://far/x
  target /mnt/backup

volume ssh://me@[2001:db8::7]:2222/pool
  preserve_hour_of_day 5
  noauto yes
  rate_limit no
  subvolume vm
    target /mnt/vm
    target ssh://far:2222/x
  subvolume db
    target_preserve_min all
    target /mnt/db

volume [2001:db8::8]:/pool
  ssh_port 2200
  ssh_cipher_spec aes128-gcm
  subvolume vm
    target /mnt/far

volume nas:/pool
  subvolume .
    target_preserve_min all
    target "/mnt/nas"
  subvolume lonely
`

// Without target_preserve_min btrbk deletes nothing.
const btrbkDefault = `
target_preserve 20d 10w
volume /mnt/pool
  subvolume home
    target /mnt/backup
`

const crontabText = `
MAILTO=root
30 2 * * *  root  /usr/local/bin/rsbtbackup backup /etc /backup/localhost/etc -q --prune --keep-daily 14 --keep-monthly=12
*/15 * * * 1,5	rsbtbackup backup 'web:/srv/my files' /backup/web -x --no-inplace -e "ssh -p 22" --exclude=.cache --exclude '*.o' --partial=refuse --timeout 5m -- --fuzzy >/dev/null 2>&1
@daily nice rsbtbackup -v backup /home /backup/home --bwlimit=fast --force --max-delete-percent=30
0 3 1 * 1 rsbtbackup backup /a /backup/a
0 4 * * * rsbtbackup prune /backup/a --keep-last=3
0 5 * * * rsbtbackup backup /b /backup/$(hostname)
0 6 * * * rsbtbackup backup /b && mail
0 7 * * * rsbtbackup backup /b
0 8 * * * rsbtbackup backup /c /backup/home
0 9 * * * /usr/bin/apt-get update
not a line
`

// shown is a draft for comparison: what was left out, and the jobs as TOML.
func shown(d Draft) string {
	text := d.TOML("x")
	_, text, _ = strings.Cut(text, "\n")
	return "\n" + text
}

func TestImports(t *testing.T) {
	for _, tt := range []struct {
		name string
		read func(string) Draft
		text string
	}{
		{"rsnapshot", Rsnapshot, rsnapshotConf}, {"rsnapshot-levels", Rsnapshot, rsnapshotLevels},
		{"btrbk", Btrbk, btrbkConf}, {"btrbk-default", Btrbk, btrbkDefault}, {"crontab", Crontab, crontabText},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.read(tt.text)
			golden := "testdata/" + tt.name + ".toml"
			if *update {
				if err := os.WriteFile(golden, []byte(shown(d)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), shown(d)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, err := config.Parse("c", []byte(d.TOML("x"))); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string]string{
		`a 'b c' "d e" f\ g ''`:      `["a" "b c" "d e" "f g" ""]`,
		`a "b\"c" >/dev/null 2>&1 d`: `["a" "b\"c"]`,
		`a b2>x`:                     `["a" "b2"]`,
		`a 2>x`:                      `["a"]`,
		`a '$x' "%"`:                 `["a" "$x" "%"]`,
	} {
		if got, err := split(line); err != nil || fmt.Sprintf("%q", got) != want {
			t.Errorf("split(%s) = %q, %v; want %s", line, got, err, want)
		}
	}
	for _, line := range []string{"a $x", `a "$x"`, "a `b`", "a; b", "a | b", "a && b", "a *.c", "a %b", "a 'b"} {
		if got, err := split(line); err == nil {
			t.Errorf("split(%s) = %q", line, got)
		}
	}
}

func TestCalendar(t *testing.T) {
	for when, want := range map[string]string{
		"30 2 * * *": "*-*-* 02:30:00", "@weekly": "weekly", "@midnight": "daily", "*/15 * * * 1,5": "Mon,Fri *-*-* *:0/15:00",
		"0 3 1 */2 *": "*-1/2-01 03:00:00", "0 3 * * 7": "Sun *-*-* 03:00:00",
		"0 3 1 * 1": "", "1-5 * * * *": "", "@reboot": "", "0 3 * * MON": "", "0 3 * * */2": "", "": "",
	} {
		if got := calendar(when); got != want {
			t.Errorf("calendar(%q) = %q, want %q", when, got, want)
		}
	}
}

func FuzzImports(f *testing.F) {
	for _, text := range []string{rsnapshotConf, btrbkConf, crontabText, "0 0 * * * rsbtbackup backup -- /\xff", "volume\nsubvolume /\ntarget /"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, read := range map[string]func(string) Draft{"rsnapshot": Rsnapshot, "btrbk": Btrbk, "crontab": Crontab} {
			d := read(text)
			out := d.TOML(text)
			c, err := config.Parse("c", []byte(out))
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			if len(c.Jobs) != len(d.Jobs) {
				t.Fatalf("%s: %d jobs of %d\n%s", name, len(c.Jobs), len(d.Jobs), out)
			}
		}
	})
}
