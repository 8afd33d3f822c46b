package replica

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/twin"
)

func TestCopyOf(t *testing.T) {
	a, b := btrfs.UUID{1}, btrfs.UUID{2}
	for _, tt := range []struct {
		name   string
		there  []Item
		want   string
		byUUID bool
	}{
		{"none", nil, "", false},
		{"of another name", []Item{{Name: "y", Origin: a}}, "y", true},
		{"the UUID counts more than the name", []Item{{Name: "x", Origin: b}, {Name: "y", Origin: a}}, "y", true},
		{"one that was changed counts less", []Item{{Name: "y", Origin: a}, {Name: "z", Origin: a, Base: true}}, "z", true},
		{"what has the name", []Item{{Name: "x", Origin: b}}, "x", false},
	} {
		got, byUUID, ok := copyOf(Item{Name: "x", Origin: a}, tt.there)
		if got.Name != tt.want || byUUID != tt.byUUID || ok != (tt.want != "") {
			t.Errorf("%s: %q, %v, %v", tt.name, got.Name, byUUID, ok)
		}
	}
}

// TestAnswersThatCannotBe: an index that is none, what is no message, an end.
func TestAnswersThatCannotBe(t *testing.T) {
	for _, answer := range []string{`{"unlike":[{"n":7}]}`, `{"unlike":[{"n":-1,"what":["x"]}]}`, `{"read":[7]}`, `{"read":[-1]}`, "Welcome", "", `{"error":"no","kind":"no backup"}`} {
		heard := twin.Heard{Differs: func(twin.Difference) {}, Unread: func(error) {}, Tell: func(twin.Tally) {}}
		a := &asking{r: bufio.NewReader(strings.NewReader(answer + "\n")), w: io.Discard, account: twin.NewAccount(heard), missing: map[string]bool{}}
		if a.askOne(t.Context(), []twin.Entry{{Path: []byte("a")}}) == nil {
			t.Errorf("%s is taken", answer)
		}
	}
}

// TestArchivesWithoutASum are for ssh alone, and still have to be whole.
func TestArchivesWithoutASum(t *testing.T) {
	var out bytes.Buffer
	w, err := newArchiveWriter(&out, Manifest{Format: formatVersion, Name: "x", Created: time.Now(), Unsummed: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("stream")); err != nil {
		t.Fatal(err)
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	read := func(archive string) error {
		a, err := openArchive(bufio.NewReader(strings.NewReader(archive)))
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(a, make([]byte, len("stream"))); err != nil {
			return err
		}
		return a.finish()
	}
	if err := read(out.String()); err != nil || strings.Contains(out.String(), "sha256") {
		t.Errorf("%v: %s", err, out.String())
	}
	for _, bad := range []string{
		strings.Replace(out.String(), `"unsummed":true`, `"unsummed":false`, 1), strings.Replace(out.String(), `{"bytes":`, `{"bytes":1`, 1),
		strings.Replace(out.String(), `{"bytes":`, `{"sha256":"00","bytes":`, 1), out.String()[:out.Len()-3],
	} {
		if err := read(bad); !errors.Is(err, facts.ErrArchive) {
			t.Errorf("%v: %s", err, bad)
		}
	}
}
