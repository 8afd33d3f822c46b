//go:build integration

// Package changed has tests of runs that publish nothing since nothing has changed.
package changed

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a source and a backup directory.
type world struct {
	t         *testing.T
	src, dest string
	options   rsbtbackup.BackupOptions
}

func newWorld(t *testing.T, disk, name string) *world {
	t.Helper()
	w := &world{t: t, src: t.TempDir(), dest: filepath.Join(disk, name)}
	must(t, os.Mkdir(w.dest, 0o700))
	_, err := rsbtbackup.Init(t.Context(), w.dest, rsbtbackup.InitOptions{})
	must(t, err)
	for _, path := range []string{"d/e/file", "d/other", "alone", "a", "c", "set"} {
		w.write(path, "content of "+path)
	}
	must(t, os.Link(w.path("a"), w.path("b")))
	must(t, os.Link(w.path("c"), w.path("d/c2")))
	must(t, os.Symlink("alone", w.path("link")))
	must(t, os.Link(w.path("link"), w.path("link2")))
	must(t, unix.Mknod(w.path("dev"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, os.Chmod(w.path("set"), 0o755|os.ModeSetuid))
	must(t, unix.Setxattr(w.path("alone"), "user.x", []byte("1"), 0))
	w.options = rsbtbackup.BackupOptions{Source: w.src, Dest: w.dest, SkipUnchanged: true}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.src, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	must(w.t, os.WriteFile(w.path(name), []byte(text), 0o644))
}

// backup makes one, or none if that is wanted.
func (w *world) backup(skip bool, why string) *rsbtbackup.Report {
	w.t.Helper()
	before := w.list()
	r, err := rsbtbackup.Backup(context.Background(), w.options)
	must(w.t, err)
	after := w.list()
	if r.Skipped != skip || (r.Name == "") != skip || (len(after.Backups) == len(before.Backups)) != skip {
		w.t.Errorf("%s: skipped %t, want %t (%+v, %+v)", why, r.Skipped, skip, r.Stats, r.Scan)
	}
	if after.Pending {
		w.t.Errorf("%s: something is left of the backup", why)
	}
	return r
}

func (w *world) list() *rsbtbackup.Listing {
	w.t.Helper()
	l, err := rsbtbackup.List(context.Background(), w.dest)
	must(w.t, err)
	return l
}

// change is done to a source.
type change struct {
	name string
	do   func(w *world) error
	// none: everything is as it was before.
	none bool
}

func changes() []change {
	return []change{
		{name: "another mode", do: func(w *world) error { return os.Chmod(w.path("alone"), 0o600) }},
		{name: "another owner", do: func(w *world) error { return os.Lchown(w.path("alone"), 7, 7) }},
		{name: "another time", do: func(w *world) error { return os.Chtimes(w.path("alone"), time.Unix(1, 2), time.Unix(3, 4)) }},
		{name: "a nanosecond", do: func(w *world) error { return os.Chtimes(w.path("alone"), time.Unix(1, 2), time.Unix(3, 5)) }},
		{name: "another time of a directory", do: func(w *world) error { return os.Chtimes(w.path("d"), time.Unix(1, 2), time.Unix(3, 4)) }},
		{name: "an attribute", do: func(w *world) error { return unix.Setxattr(w.path("alone"), "user.x", []byte("2"), 0) }},
		{name: "an ACL", do: func(w *world) error { return exec.Command("setfacl", "-m", "u:5:r", w.path("alone")).Run() }},
		{name: "content", do: func(w *world) error { return os.WriteFile(w.path("alone"), []byte("new"), 0) }},
		{name: "a new file", do: func(w *world) error { return os.WriteFile(w.path("d/new"), nil, 0o600) }},
		{name: "an empty directory", do: func(w *world) error { return os.Mkdir(w.path("d/e/empty"), 0o700) }},
		{name: "a file is gone", do: func(w *world) error { return os.Remove(w.path("d/new")) }},
		{name: "a file has another name", do: func(w *world) error { return os.Rename(w.path("d/other"), w.path("d/e/else")) }},
		{name: "a directory has another name", do: func(w *world) error { return os.Rename(w.path("d/e"), w.path("moved")) }},
		{name: "a symlink leads elsewhere", do: func(w *world) error {
			return errors.Join(os.Remove(w.path("link")), os.Symlink("Alone", w.path("link")))
		}},
		{name: "another device", do: func(w *world) error {
			return errors.Join(os.Remove(w.path("dev")), unix.Mknod(w.path("dev"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
		}},
		{name: "another kind of device", do: func(w *world) error {
			return errors.Join(os.Remove(w.path("dev")), unix.Mknod(w.path("dev"), unix.S_IFBLK|0o600, int(unix.Mkdev(1, 5))))
		}},
		{name: "no set-id bit", do: func(w *world) error { return os.Chmod(w.path("set"), 0o755) }},
		{name: "one more name", do: func(w *world) error {
			return sameTime(w, ".", func() error { return os.Link(w.path("a"), w.path("a2")) })
		}},
		{name: "two names become two files", do: func(w *world) error { return sameTime(w, ".", func() error { return split(w.path("b")) }) }},
		{name: "two files become one", do: func(w *world) error {
			return sameTime(w, ".", func() error { return errors.Join(os.Remove(w.path("b")), os.Link(w.path("a"), w.path("b"))) })
		}},
		{name: "the mode changed and changed back", none: true, do: func(w *world) error {
			return errors.Join(os.Chmod(w.path("set"), 0o700), os.Chmod(w.path("set"), 0o755))
		}},
		{name: "written anew with the same content and time", none: true, do: func(w *world) error { return split(w.path("moved/file")) }},
		{name: "a file came and went", none: true, do: func(w *world) error {
			return sameTime(w, "d", func() error { return errors.Join(os.WriteFile(w.path("d/x"), nil, 0o600), os.Remove(w.path("d/x"))) })
		}},
	}
}

// sameTime gives a directory the time back that it had.
func sameTime(w *world, dir string, do func() error) error {
	st, err := os.Stat(w.path(dir))
	if err != nil {
		return err
	}
	return errors.Join(do(), os.Chtimes(w.path(dir), time.Now(), st.ModTime()))
}

// split makes a file of its own of a name, of the same content and time.
func split(path string) error {
	return exec.Command("sh", "-c", `t=$(mktemp) && touch -r "${1%/*}" "$t" && cp -p "$1" "$1.new" && mv "$1.new" "$1" && touch -r "$t" "${1%/*}" && rm "$t"`, "sh", path).Run()
}

// TestNothingNew: each change makes a backup, once, and what is no change makes none; however it is found.
func TestNothingNew(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	for _, scan := range []string{rsbtbackup.ScanFull, rsbtbackup.ScanWalk} {
		t.Run(scan, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, disk, scan)
			w.options.Scan = scan
			w.backup(false, "the first")
			w.backup(true, "nothing")
			for _, c := range changes() {
				if err := c.do(w); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if r := w.backup(c.none, c.name); !c.none {
					out, err := exec.Command("rsync", "-aHAXnic", "--modify-window=-1", "--numeric-ids", "--delete", w.src+"/", filepath.Join(w.dest, r.Name)+"/").CombinedOutput()
					if err != nil || len(out) > 0 {
						t.Errorf("%s: the backup is not the source: %v\n%s", c.name, err, out)
					}
				}
				w.backup(true, "nothing since "+c.name)
			}
		})
	}
}

// TestTheCatalogStaysUsable: runs that publish nothing count, and the next walk compares with their catalogs.
func TestTheCatalogStaysUsable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "dest")
	w.backup(false, "the first")
	time.Sleep(2100 * time.Millisecond) // what changed less than two seconds before a walk is looked at again by the next one
	w.backup(true, "some of it is young")
	var full int
	for range 10 {
		r := w.backup(true, "nothing")
		switch r.Scan.Mode {
		case rsbtbackup.ScanFull:
			full++
		case rsbtbackup.ScanWalk:
			if r.Scan.Listed > 0 {
				t.Errorf("looked at again: %+v", r.Scan)
			}
		}
	}
	if full != 1 {
		t.Errorf("of 10 runs %d have compared everything, want 1", full)
	}
	w.write("d/new", "x")
	if r := w.backup(false, "a new file"); r.Scan.Mode != rsbtbackup.ScanWalk {
		t.Errorf("the next backup: %+v", r.Scan)
	}
}

// TestSkippedRunsAreFresh: what asks for the age of a backup counts a run that found nothing new.
func TestSkippedRunsAreFresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopfs.New(t, "1G"), "dest")
	old := time.Now().Add(-100 * time.Hour).Truncate(time.Second)
	config := filepath.Join(t.TempDir(), "c.toml")
	must(t, os.WriteFile(config, []byte("[run]\nstate = '"+t.TempDir()+"'\n[job.j]\nsource = '"+w.src+"'\ndest = '"+w.dest+"'\nskip-unchanged = true\nkeep-last = 1\n"), 0o600))
	w.options.Now = old
	first := w.backup(false, "the first")
	w.options.Now = time.Now()
	w.backup(true, "nothing")
	l := w.list()
	b := l.Backups[0]
	if u := b.Record.Unchanged; u == nil || u.Runs != 1 || !b.AsOf().Equal(w.options.Now) || b.Name != first.Name || !b.Time.Equal(old) {
		t.Errorf("the last backup: %+v", b)
	}
	if r, err := rsbtbackup.Check(t.Context(), w.dest, rsbtbackup.CheckOptions{MaxAge: time.Hour, Now: time.Now()}); err != nil || r.Results[0].Level != rsbtbackup.CheckOK {
		t.Errorf("check: %v, %+v", err, r.Results[0])
	}
	var status struct {
		Health      string    `json:"health"`
		LastSuccess time.Time `json:"last_success"`
	}
	must(t, json.Unmarshal([]byte(testbin.Must(t, "status", "--config", config, "--json").Stdout), &status))
	if status.Health != "ok" || !status.LastSuccess.Equal(w.options.Now) {
		t.Errorf("status: %+v", status)
	}
	type step struct {
		Step, Status, Reason string
	}
	steps := func(args ...string) (all []step) {
		dec := json.NewDecoder(strings.NewReader(testbin.Must(t, append([]string{"run", "j", "--config", config, "--json"}, args...)...).Stdout))
		for dec.More() {
			var s step
			must(t, dec.Decode(&s))
			if s.Step != "" {
				all = append(all, s)
			}
		}
		return all
	}
	if s := steps("--if-older-than=1h"); len(s) == 0 || s[0].Status != "fresh" {
		t.Errorf("run --if-older-than: %+v", s)
	}
	if s := steps(); len(s) != 1 || s[0].Status != "ok" || s[0].Reason != "nothing has changed since "+first.Name {
		t.Errorf("run: %+v", s)
	}
}

// TestInDoubtItIsPublished: what the last backup may lack is no reason to leave it at that.
func TestInDoubtItIsPublished(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	t.Run("other rules", func(t *testing.T) {
		w := newWorld(t, disk, "rules")
		w.backup(false, "the first")
		w.options.Exclude = []string{"nothing-has-this-name"}
		w.backup(false, "other rules")
		w.backup(true, "the same rules")
	})
	t.Run("a touched base", func(t *testing.T) {
		w := newWorld(t, disk, "touched")
		first := w.backup(false, "the first")
		b := filepath.Join(w.dest, first.Name)
		out, err := exec.Command("sh", "-c", `btrfs property set -f -ts "$1" ro false && touch "$1" && touch -r "$2" "$1" && btrfs property set -ts "$1" ro true`, "sh", b, w.src).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		w.backup(false, "somebody wrote to the last one")
	})
	t.Run("another source", func(t *testing.T) {
		w := newWorld(t, disk, "other")
		w.backup(false, "the first")
		moved := filepath.Join(t.TempDir(), "moved")
		must(t, os.Rename(w.src, moved))
		w.options.Source = moved
		w.backup(false, "another path")
		w.backup(true, "the same path")
	})
	t.Run("an incomplete base", func(t *testing.T) {
		w := newWorld(t, disk, "incomplete")
		w.backup(false, "the first")
		program := filepath.Join(t.TempDir(), "rsync")
		must(t, os.WriteFile(program, []byte("#!/bin/sh\nrsync \"$@\" || exit\ncase \"$*\" in --version) ;; *) exit 23 ;; esac\n"), 0o755))
		w.options.RsyncProgram, w.options.Scan = program, rsbtbackup.ScanFull
		for range 2 {
			r, err := rsbtbackup.Backup(context.Background(), w.options)
			if !errors.Is(err, rsbtbackup.ErrIncomplete) || r.Name == "" || r.Skipped {
				t.Errorf("with exit 23: %v, %+v", err, r)
			}
		}
		w.options.RsyncProgram = ""
		w.backup(false, "the last one is incomplete")
		w.backup(true, "nothing")
	})
}
