package replica

import (
	"bufio"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
)

type sink struct{ bytes.Buffer }

func (*sink) Close() error { return nil }

// TestDeletionsOfAFullTargetAreReported: it then deletes without being asked, and errors of that are reported too.
func TestDeletionsOfAFullTargetAreReported(t *testing.T) {
	full := fail.Kindf(facts.ErrNoSpace, "no space left")
	for _, tt := range []struct {
		name    string
		failed  bool
		err     error
		bye     string
		asked   bool
		deleted []string
		want    string
	}{
		{"all sent", false, nil, `{"deleted":["a"]}`, true, []string{"a"}, ""},
		{"failed", true, errors.New("why"), "", false, nil, ""},
		{"full", true, full, `{"deleted":["a","b"]}`, false, []string{"a", "b"}, ""},
		{"full, and cannot delete", true, full, `{"deleted":["a"],"error":"read-only"}`, false, []string{"a"}, "read-only"},
	} {
		c, in := &copying{report: &Report{Backups: []Copied{{Result: ResultCopied}}}}, &sink{}
		if tt.failed {
			c.report.Backups[0].Result = ResultFailed
		}
		err := c.farewell(&remoteSink{session: &remote.Session{Stdin: in}, r: bufio.NewReader(strings.NewReader(tt.bye + "\n"))}, tt.err)
		if (in.Len() > 0) != tt.asked || !slices.Equal(c.report.Deleted, tt.deleted) || (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: asked %q, deleted %v, error %v", tt.name, in.String(), c.report.Deleted, err)
		}
	}
}
