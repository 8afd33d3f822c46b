package rsyncexec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func TestExcludePatterns(t *testing.T) {
	got := rsyncexec.ExcludePatterns([]string{"- /a b", "+ /c", "exclude /d", ". rules"}, []string{"/e", "- /f"}, []string{"--exclude=/g", "-f-_/h", "--bwlimit=1"})
	if diff := cmp.Diff([]string{"/a b", "/d", "/h", "/e", "/f", "/g"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	got = rsyncexec.FilePatterns("# one\n; two\n\n/a b\r\n- /c\n+ /d\n!\n*.o")
	if diff := cmp.Diff([]string{"/a b", "/c", "*.o"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
