package archive

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
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func testManifest() Manifest {
	return Manifest{Format: 1, Name: "2026-11-23-09:00", UUID: btrfs.UUID{7}, Created: now,
		Record: &facts.Record{Version: 1, Name: "2026-11-23-09:00", Status: facts.Complete, Started: now.Add(-time.Hour)}}
}

func written(t testing.TB, stream string) []byte {
	t.Helper()
	var b bytes.Buffer
	a, err := NewWriter(&b, testManifest())
	if err == nil {
		_, err = io.WriteString(a, stream)
	}
	if err == nil {
		err = a.Finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read takes an archive apart, with a stream of n bytes.
func read(data []byte, n int) (*Reader, string, error) {
	a, err := Open(bufio.NewReaderSize(bytes.NewReader(data), 16))
	if err != nil {
		return nil, "", err
	}
	a.Alone = true
	stream := make([]byte, n)
	if _, err := io.ReadFull(a, stream); err != nil {
		return a, "", unexpectedEnd(err)
	}
	return a, string(stream), a.Finish()
}

func TestArchive(t *testing.T) {
	data := written(t, "the stream\n")
	a, stream, err := read(data, 11)
	if err != nil || stream != "the stream\n" || a.Manifest.Name != "2026-11-23-09:00" || a.Manifest.UUID != (btrfs.UUID{7}) || a.Manifest.Record == nil {
		t.Errorf("%+v, %q, %v", a.Manifest, stream, err)
	}
	bare, stream, err := read([]byte("btrfs-stream"), 12)
	if err != nil || stream != "btrfs-stream" || bare.Manifest != nil {
		t.Errorf("bare: %q, %v", stream, err)
	}
}

// TestArchiveDamaged: no byte of it can be changed, left out or added unnoticed.
func TestArchiveDamaged(t *testing.T) {
	data := written(t, "the stream\n")
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 1
		if _, _, err := read(damaged, 11); err == nil {
			t.Errorf("byte %d damaged: no error", i)
		}
		if _, _, err := read(data[:i], 11); err == nil {
			t.Errorf("cut off at %d: no error", i)
		}
	}
	for name, bad := range map[string][]byte{
		"something follows": append(bytes.Clone(data), '\n'),
		"twice":             append(bytes.Clone(data), data...),
		"endless line":      append([]byte("{"), bytes.Repeat([]byte(" "), MaxManifest)...),
		"other version":     []byte(`{"rsbtbackup_archive":2}` + "\n"),
		"nothing":           nil,
	} {
		if _, _, err := read(bad, 11); !errors.Is(err, facts.ErrArchive) {
			t.Errorf("%s: error %v, want ErrArchive", name, err)
		}
	}
}

func TestCheckRecord(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(m *Manifest)
		want  string
	}{
		{"as it is", func(*Manifest) {}, ""},
		{"no record", func(m *Manifest) { m.Record = nil }, ""},
		{"incomplete", func(m *Manifest) { m.Record.Status = facts.Incomplete }, ""},
		{"clocks differ", func(m *Manifest) { m.Record.Started = now.Add(time.Hour) }, ""},
		{"in the future", func(m *Manifest) { m.Record.Started = now.Add(time.Hour + time.Second) }, "in the future"},
		{"a zone ahead, without a record", func(m *Manifest) { m.Record, m.Name = nil, "2026-11-29-14:00" }, ""},
		{"still to come by its name", func(m *Manifest) { m.Record, m.Name = nil, "2026-11-29-14:01" }, "in the future"},
		{"found unchanged, clocks differ", func(m *Manifest) { m.Record.Unchanged = &facts.UnchangedInfo{At: now.Add(time.Hour)} }, ""},
		{"found unchanged in time to come", func(m *Manifest) { m.Record.Unchanged = &facts.UnchangedInfo{At: now.Add(time.Hour + time.Second)} }, "in the future"},
		{"of another backup", func(m *Manifest) { m.Record.Name = "2026-11-23-10:00" }, "its record"},
		{"of a later version", func(m *Manifest) { m.Record.Version = 2 }, "version 2"},
		{"of another status", func(m *Manifest) { m.Record.Status = "good" }, `status "good"`},
		{"too long", func(m *Manifest) { m.Record.Source = strings.Repeat("x", 1<<20) }, "bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := testManifest()
			m.Record.Verified = &facts.Verification{Result: facts.Clean}
			tt.spoil(&m)
			r, err := CheckRecord(&m, now)
			if tt.want != "" {
				if !errors.Is(err, facts.ErrArchive) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || r.Verified != nil || r.Copied == nil || r.Copied.UUID != m.UUID || !r.Copied.At.Equal(now) || r.Name != m.Name {
				t.Errorf("%+v, %v: what is checked on another disk must not count here", r, err)
			}
		})
	}
}

// TestRecordFor: the verdict of a disk is kept apart, over any number of copies.
func TestRecordFor(t *testing.T) {
	found := &facts.Verification{Result: facts.Clean, At: now}
	b := facts.Snapshot{Name: "x", Status: facts.Complete, Record: &facts.Record{Version: 1, Name: "x", Status: facts.Complete, Verified: found, Pin: &facts.PinInfo{Note: "why"}}}
	first := RecordFor(b, btrfs.UUID{1}, "host", "/dest", now)
	if first.Verified != nil || first.Copied.Verified != found || first.Pin == nil || first.Copied.Host != "host" {
		t.Errorf("%+v", first)
	}
	second := RecordFor(facts.Snapshot{Name: "x", Status: facts.Complete, Record: first}, btrfs.UUID{1}, "other", "/copy", now)
	if second.Verified != nil || second.Copied.Verified != found || second.Copied.Host != "other" {
		t.Errorf("%+v", second)
	}
	if b.Record.Verified != found || b.Record.Copied != nil {
		t.Error("the record of the backup itself was changed")
	}
	if none := RecordFor(facts.Snapshot{Name: "y", Status: facts.Complete}, btrfs.UUID{2}, "", "", now); none.Version != 1 || none.Name != "y" {
		t.Errorf("%+v", none)
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(written(f, "the stream\n"))
	f.Add([]byte("btrfs-stream\x00"))
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte("0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, _, err := read(data, 11)
		if err != nil {
			if !errors.Is(err, facts.ErrArchive) {
				t.Fatalf("error %v, want ErrArchive", err)
			}
			return
		}
		if a.Manifest != nil {
			_, _ = CheckRecord(a.Manifest, now)
		}
	})
}

// TestArchivesWithoutASum are for ssh alone, and still have to be whole.
func TestArchivesWithoutASum(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, Manifest{Format: FormatVersion, Name: "x", Created: time.Now(), Unsummed: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("stream")); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	read := func(archive string) error {
		a, err := Open(bufio.NewReader(strings.NewReader(archive)))
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(a, make([]byte, len("stream"))); err != nil {
			return err
		}
		return a.Finish()
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
