package backup

import (
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func TestRsyncOptions(t *testing.T) {
	base := &facts.Snapshot{Name: "2026-11-22-09:00", Record: &facts.Record{Stats: &rsyncexec.Stats{Files: 1000}}}
	src := &source.Source{Spec: rsyncexec.Source{Kind: rsyncexec.Local, Path: "/src"}, Shown: "/src"}
	inside := &source.Source{Spec: src.Spec, Shown: "/src", Overlap: source.DestInside, Views: []source.DestView{{Rel: "back*ups/[1]"}, {Rel: "again"}}}
	remote := &source.Source{Spec: rsyncexec.Source{Kind: rsyncexec.Shell, Host: "h", Path: "/src"}, Shown: "h:/src"}
	for _, c := range []struct {
		name string
		o    Options
		p    plan
		src  *source.Source
		want string // in the command line
		not  string
	}{
		{"a first backup is written in place, whole", Options{}, plan{}, src, "--inplace --whole-file", "--no-whole-file"},
		{"a resumed first one by blocks, for the file it was at", Options{}, plan{work: store.WorkResume}, src, "--inplace --no-whole-file", "--whole-file "},
		{"later ones by blocks", Options{}, plan{base: base}, src, "--inplace --no-whole-file", "--checksum"},
		{"whole files", Options{WholeFiles: true}, plan{base: base}, src, "--no-inplace", "--inplace "},
		{"what cannot be trusted is compared", Options{}, plan{checksum: true}, src, "--checksum", "--trust"},
		{"deletions are counted against the last backup", Options{}, plan{maxDelete: 5, base: base}, src, "--max-delete=50", ""},
		{"a silent peer is given up", Options{}, plan{base: base}, remote, "--timeout=1800", "--checksum"},
		{"a local one is not", Options{}, plan{base: base}, src, "--delete", "--timeout"},
		{"nor one that computes checksums", Options{}, plan{base: base, checksum: true}, remote, "--checksum", "--timeout"},
		{"nor one that was told to", Options{RsyncArgs: []string{"-zc"}}, plan{base: base}, remote, "-zc", "--timeout"},
		{"unless a time was given", Options{Timeout: time.Minute}, plan{checksum: true}, remote, "--timeout=60", ""},
		{"DEST inside SRC is left out", Options{}, plan{}, inside, `- /back\*ups/\[1]`, ""},
		{"its mount point stays if it is another filesystem", Options{OneFileSystem: true}, plan{}, inside, "--one-file-system", "back"},
		{"by each path to it", Options{Filter: []string{"!"}}, plan{}, inside, `--filter=- /again -- `, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			argv, err := rsyncOptions(c.o, &c.p, c.src, 0).Argv()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(argv, " ")
			if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("argv %s\nwant %q, not %q", got, c.want, c.not)
			}
		})
	}
}
