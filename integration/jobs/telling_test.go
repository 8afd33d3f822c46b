//go:build integration

package jobs

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// No server can be reached: the backup is made anyway, and each server gives one warning.
func TestReportsThatFail(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/hang") {
			<-hangs
		}
		http.Redirect(rw, r, "file:///etc/passwd", http.StatusFound)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hangs) })
	w := &night{t: t, dir: t.TempDir()}
	dest := filepath.Join(loopfs.New(t, "256M"), "d")
	w.makeDest(dest, healthy)
	w.must(errors.Join(os.Mkdir(w.dir+"/real", 0o755), os.Symlink("real", w.dir+"/link")))
	w.config = filepath.Join(w.dir, "c.toml")
	w.must(os.WriteFile(w.config, fmt.Appendf(nil, `[run]
state = %q
[metrics]
textfile = %q
[job.etc]
source = %q
dest = %q
ping = { url = "%s/hang", timeout = "200ms", retries = 0 }
http.file = { url = "%[5]s/topsecret", on = "success" }
hooks.after = [["/bin/sh", "-c", "yes | head -c 10000000; sleep 1000"]]
hooks.timeout = "300ms"
hooks.on-failure = "warn"
`, w.dir+"/state", w.dir+"/link/r.prom", w.source("etc"), dest, server.URL), 0o600))
	r := testbin.Run(t, "run", "--all", "--config", w.config)
	if r.Exit != 0 || !strings.Contains(r.Stdout, "etc  ok ") {
		t.Errorf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	for _, want := range []string{
		"a hook failed job=etc step=hooks.after err=\"/bin/sh: it took longer than 300ms\"",
		"a report was not sent job=etc event=start key=ping.url url=" + server.URL + "/... err=\"no answer within 200ms\"",
		"a report was not sent job=etc event=success key=ping.url url=" + server.URL + "/... err=\"no answer within 200ms\"",
		"a report was not sent job=etc event=success key=http.file url=" + server.URL + "/... err=\"redirected to file:, which is neither http nor https\"",
		"the metrics could not be written err=\"open " + w.dir + "/link: it is a symlink, which is not followed: name the directory it leads to\"",
	} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("no line has %s:\n%s", want, r.Stderr)
		}
	}
	if lines := strings.Count(r.Stderr, "\n"); lines != 5 || strings.Contains(r.Stderr, "topsecret") {
		t.Errorf("%d lines:\n%s", lines, r.Stderr)
	}
	if l, err := rsbtbackup.List(t.Context(), dest); err != nil || len(l.Backups) != 1 || l.Backups[0].Status != rsbtbackup.Complete {
		t.Errorf("%v, %+v", err, l)
	}
}
