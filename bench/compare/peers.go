package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// peer is one program. Its calls are given a place: a directory of its own on the destination, for one source.
type peer struct {
	name    string
	version string // empty: it is not installed
	full    bool   // it copies everything each time, and is measured once
	btrfs   bool   // it reads from btrfs alone
	alike   bool   // what it reads from makes no difference to it, so it is measured once
	init    func(p place) error
	backup  func(p place) error
	list    func(p place) error // nil, as the next ones: there is no such command
	verify  func(p place) error
	restore func(p place, target string) error
	drop    func(p place) error // the oldest backup
}

// place is where a peer keeps its backups of one source, and how many it has made.
type place struct {
	dest, src string
	made      int
}

const ours = "rsbtbackup"

// reads reports whether a program is measured with a source on that type of filesystem; one large file is for those
// that do not read all of it.
func (p *peer) reads(fs string) bool {
	return fs == "btrfs" && !p.alike || fs == "ext4" && !p.btrfs || (fs == fileOnBtrfs || fs == imageOnBtrfs) && (p.btrfs || p.name == ours)
}

func allPeers(l *lab) []*peer {
	peers := []*peer{l.ourselves(), l.rsync("-a"), l.rsync("-aHAX"), l.btrbk(), l.rsnapshot(), l.restic(), l.borg(), l.cp()}
	for _, p := range peers {
		program, asks, _ := strings.Cut(map[string]string{
			ours: l.program + " version", "rsync -a": "rsync --version", "rsync -aHAX": "rsync --version", "btrbk": "btrbk --version",
			"rsnapshot": "rsnapshot version", "restic": "restic version", "borg": "borg --version", "cp -a": "cp --version",
		}[p.name], " ")
		out, err := exec.CommandContext(l.ctx, program, asks).Output()
		if first, _, _ := strings.Cut(string(out), "\n"); err == nil {
			p.version = strings.Join(strings.Fields(first), " ")
		}
	}
	return peers
}

func nothing(place) error { return nil }

func (l *lab) ourselves() *peer {
	return &peer{
		name:   ours,
		init:   func(p place) error { return l.do(l.program, "init", "-q", p.dest) },
		backup: func(p place) error { return l.do(l.program, "backup", "-q", p.src, p.dest) },
		list:   func(p place) error { return l.do(l.program, "list", p.dest) },
		verify: func(p place) error { return l.do(l.program, "verify", "-q", p.dest, "latest") },
		restore: func(p place, target string) error {
			return l.do(l.program, "restore", "-q", p.dest, "latest", "-t", target)
		},
		drop: func(p place) error {
			all, err := filepath.Glob(filepath.Join(p.dest, "20*"))
			if err != nil || len(all) == 0 {
				return errors.Join(err, errors.New("there is no backup"))
			}
			return l.do(l.program, "delete", "-q", p.dest, filepath.Base(slices.Min(all)))
		},
	}
}

// rsync keeps one tree: it has no older backups.
func (l *lab) rsync(flags string) *peer {
	sync := func(p place) error { return l.do("rsync", flags, "--delete", p.src+"/", p.dest+"/tree/") }
	return &peer{name: "rsync " + flags, init: nothing, backup: sync, restore: func(p place, target string) error {
		return l.do("rsync", flags, p.dest+"/tree/", target+"/")
	}}
}

// cp copies everything, each time.
func (l *lab) cp() *peer {
	return &peer{
		name: "cp -a", full: true, alike: true, init: nothing,
		backup: func(p place) error { return l.do("cp", "-a", p.src, fmt.Sprintf("%s/%d", p.dest, p.made)) },
		restore: func(p place, target string) error {
			return l.do("cp", "-a", fmt.Sprintf("%s/%d", p.dest, p.made-1), target)
		},
		drop: func(p place) error { return l.do("rm", "-rf", p.dest+"/0") },
	}
}

func (l *lab) restic() *peer {
	do := func(p place, args ...string) error {
		return l.doIn("", []string{"RESTIC_PASSWORD=compare", "RESTIC_CACHE_DIR=" + l.dir + "/restic-cache"}, "restic", append([]string{"-q", "-r", p.dest + "/repo"}, args...)...)
	}
	return &peer{
		name: "restic", alike: true,
		init:    func(p place) error { return do(p, "init") },
		backup:  func(p place) error { return do(p, "backup", p.src) },
		list:    func(p place) error { return do(p, "snapshots") },
		verify:  func(p place) error { return do(p, "check", "--read-data") },
		restore: func(p place, target string) error { return do(p, "restore", "latest", "--target", target) },
		drop:    func(p place) error { return do(p, "forget", "--keep-last", fmt.Sprint(p.made-1), "--prune") },
	}
}

func (l *lab) borg() *peer {
	env := func(p place) []string {
		return []string{"BORG_BASE_DIR=" + l.dir, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes", "BORG_REPO=" + p.dest + "/repo"}
	}
	do := func(p place, args ...string) error { return l.doIn("", env(p), "borg", args...) }
	return &peer{
		name: "borg", alike: true,
		init:   func(p place) error { return do(p, "init", "-e", "none", p.dest+"/repo") },
		backup: func(p place) error { return do(p, "create", fmt.Sprintf("::%d", p.made), p.src) },
		list:   func(p place) error { return do(p, "list") },
		verify: func(p place) error { return do(p, "check", "--verify-data") },
		restore: func(p place, target string) error {
			if err := os.Mkdir(target, 0o755); err != nil {
				return err
			}
			return l.doIn(target, env(p), "borg", "extract", fmt.Sprintf("::%d", p.made-1))
		},
		drop: func(p place) error { return errors.Join(do(p, "delete", "::0"), do(p, "compact")) },
	}
}

// btrbk reads btrfs alone: it sends one read-only snapshot after the other.
func (l *lab) btrbk() *peer {
	config := func(p place) string { return p.dest + ".conf" }
	return &peer{
		name: "btrbk", btrfs: true,
		init: func(p place) error {
			volume := filepath.Dir(p.src)
			text := fmt.Sprintf("timestamp_format long-iso\nvolume %s\n  snapshot_dir .snapshots\n  subvolume %s\n    target %s\n", volume, filepath.Base(p.src), p.dest)
			return errors.Join(os.MkdirAll(filepath.Join(volume, ".snapshots"), 0o755), os.WriteFile(config(p), []byte(text), 0o644))
		},
		backup: func(p place) error { return l.do("btrbk", "-q", "-c", config(p), "run") },
		list:   func(p place) error { return l.do("btrbk", "-c", config(p), "list", "backups") },
		drop: func(p place) error {
			all, err := filepath.Glob(filepath.Join(p.dest, "src.*"))
			if err != nil || len(all) == 0 {
				return errors.Join(err, errors.New("there is no backup"))
			}
			return l.do("btrfs", "-q", "subvolume", "delete", slices.Min(all))
		},
	}
}

// rsnapshot has fields parted by tabs.
func (l *lab) rsnapshot() *peer {
	config := func(p place) string { return p.dest + ".conf" }
	return &peer{
		name: "rsnapshot", alike: true,
		init: func(p place) error {
			lines := []string{"config_version\t1.2", "snapshot_root\t" + p.dest + "/", "cmd_cp\t/bin/cp", "cmd_rm\t/bin/rm", "cmd_rsync\t/usr/bin/rsync",
				"retain\talpha\t99", "verbose\t1", "loglevel\t1", "lockfile\t" + p.dest + ".pid", "backup\t" + p.src + "/\ttree/"}
			return os.WriteFile(config(p), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
		},
		backup:  func(p place) error { return l.do("rsnapshot", "-c", config(p), "alpha") },
		restore: func(p place, target string) error { return l.do("cp", "-a", p.dest+"/alpha.0", target) },
		drop:    func(p place) error { return l.do("rm", "-rf", fmt.Sprintf("%s/alpha.%d", p.dest, p.made-1)) },
	}
}
