//go:build integration

package scan

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// rewrite gives a file other content of the same size and time.
func rewrite(t *testing.T, path string) {
	t.Helper()
	st, err := os.Stat(path)
	testdest.Must(t, err)
	data, err := os.ReadFile(path)
	testdest.Must(t, err)
	data[0]++
	testdest.Must(t, os.WriteFile(path, data, 0o644))
	testdest.Must(t, os.Chtimes(path, st.ModTime(), st.ModTime()))
}

// wantContent compares the last backup with the source.
func (p *pair) wantContent(flags ...string) {
	p.t.Helper()
	out, err := exec.Command("rsync", append(flags, "-rlnic", "--delete", p.src+"/", testdest.CurrentPath(p.t, p.walk)+"/")...).CombinedOutput()
	if err != nil || len(out) > 0 {
		p.t.Errorf("the backup is not its source: %v\n%s", err, out)
	}
}

// What a file's ctime tells holds where rsync compares everything, too.
func TestATimePutBackUnderAnyRules(t *testing.T) {
	t.Parallel()
	plain := func(*rsbtbackup.BackupOptions) {}
	filter := func(o *rsbtbackup.BackupOptions) { o.Filter = []string{"- *.o"} }
	for name, sets := range map[string][]func(o *rsbtbackup.BackupOptions){
		"filter rules":          {filter, filter, plain},
		"options for rsync":     {func(o *rsbtbackup.BackupOptions) { o.RsyncArgs = []string{"--fuzzy"} }, plain},
		"options that send all": {func(o *rsbtbackup.BackupOptions) { o.RsyncArgs = []string{"--ignore-times"} }, plain},
		"a rule, and none":      {func(o *rsbtbackup.BackupOptions) { o.Exclude = []string{"*.o"} }, plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, "a/f", "a/g", "a/x.o", "b/g")
			for _, set := range sets {
				rewrite(t, filepath.Join(p.src, "a", "f"))
				rewrite(t, filepath.Join(p.src, "a", "x.o"))
				testdest.Must(t, os.Rename(filepath.Join(p.src, "b"), filepath.Join(p.src, fmt.Sprint("b", p.made))))
				testdest.Must(t, os.Rename(filepath.Join(p.src, fmt.Sprint("b", p.made)), filepath.Join(p.src, "b")))
				p.set = set
				p.backupAnyhow()
				p.wantContent("--exclude=*.o")
			}
			p.wantContent()
			want(t, p.backup(), rsbtbackup.ScanWalk, "")
		})
	}
}

// Where more files are doubtful than a walk can keep, all contents are compared.
func TestMoreDoubtsThanCanBeKept(t *testing.T) {
	t.Parallel()
	const files = 20_001
	p := newPair(t, "dir/0")
	name := func(i int) string { return filepath.Join(p.src, "dir", fmt.Sprint(i)) }
	for i := range files {
		testdest.Must(t, os.WriteFile(name(i), []byte("x"), 0o644))
	}
	p.backup()
	for i := range files {
		rewrite(t, name(i))
	}
	p.backupAnyhow()
	p.wantContent()
}
