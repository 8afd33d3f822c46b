package restore

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

func TestWhatIsNotDeletedBy(t *testing.T) {
	begun := time.Unix(1, 0)
	for _, tt := range []struct {
		b    facts.Snapshot
		want string
	}{
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Started: begun}}, ""},
		{facts.Snapshot{Name: "B", Status: facts.Complete}, "no record says how B was made"},
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Pin: &facts.PinInfo{}}}, "no record says how B was made"},
		{facts.Snapshot{Name: "B", Status: facts.Incomplete, Record: &facts.Record{Started: begun}}, "B is incomplete"},
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Started: begun, Rules: []string{"--exclude=a", "-m"}}}, "with --exclude=a -m"},
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Started: begun, Rules: []string{"--exclude=a", "--exclude=/b"}}}, "with --exclude=a --exclude=/b"},
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Started: begun, Rules: []string{"--exclude=same", "-z"}}}, ""},
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Started: begun, Rules: []string{"--exclude=same", "--one-file-system"}}}, "--one-file-system"},
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Started: begun, Rules: []string{"--exclude=same", "--exclude-caches"}}}, "--exclude-caches"},
		{facts.Snapshot{Name: "B", Status: facts.Complete, Record: &facts.Record{Started: begun, Rules: []string{"--exclude-if-present=.x"}}}, "--exclude-if-present=.x"},
		{facts.Snapshot{Name: "B", Status: facts.Incomplete, Record: &facts.Record{Started: begun, Rules: []string{"--exclude=same"}}}, "B is incomplete"},
	} {
		got := ""
		if err := lacks(tt.b, []string{"other", "same"}); err != nil {
			got = err.Error()
		}
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.b, got, tt.want)
		}
	}
	both := facts.Snapshot{Name: "B", Record: &facts.Record{Started: begun, Rules: []string{"--exclude=a", "--exclude=/b"}}}
	if got := lacks(both, []string{"a"}).Exclude; !slices.Equal(got, []string{"/b"}) {
		t.Errorf("to be excluded too: %q", got)
	}
}

// How a backup stores attributes is known for all marks.
func TestStoredAsWithMarks(t *testing.T) {
	b := facts.Snapshot{Record: &facts.Record{Source: "/s", Rules: []string{"--exclude-caches", "--exclude-if-present=.x", "--fake-super"}}}
	if !source.StoredAs(b).FakeSuper {
		t.Error("fake-super was not seen")
	}
}
