package replica

import (
	"bufio"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

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
		err := c.farewell(&remoteSink{far: heardFrom(in, tt.bye+"\n")}, tt.err)
		if (in.Len() > 0) != tt.asked || !slices.Equal(c.report.Deleted, tt.deleted) || (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: asked %q, deleted %v, error %v", tt.name, in.String(), c.report.Deleted, err)
		}
	}
}

// heardFrom is another side that has said all of it, and takes what it is told.
func heardFrom(in *sink, said string) *far {
	return &far{session: &remote.Session{Stdin: in}, r: bufio.NewReader(strings.NewReader(said)), most: time.Hour}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"rsbtbackup":"receive","version":1,"backups":[{"name":"x","uuid":"3f2504e0-4f89-41d3-9a0c-0305e82c3301"}]}` + "\n"))
	f.Add([]byte("Welcome\n"))
	f.Add([]byte(isAlive))
	f.Fuzz(func(t *testing.T, data []byte) {
		var hello greeting
		if err := heardFrom(&sink{}, string(data)).hear(1<<10, &hello); err != nil && !errors.Is(err, facts.ErrArchive) {
			t.Fatalf("error %v, want ErrArchive", err)
		}
	})
}
