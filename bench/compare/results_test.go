package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample() *results {
	r := &results{Machine: "Linux <6>", Quick: true, Rounds: 3, Tree: "3 files", Programs: []program{{Name: ours, Version: "1"}, {Name: "restic", Missing: true}}}
	added := int64(2_500_000)
	for _, ms := range []int{300, 100, 200} {
		r.add("ext4/unchanged", "rsync -a", time.Duration(2*ms)*time.Millisecond, nil)
		r.add("ext4/unchanged", ours, time.Duration(ms)*time.Millisecond, &added)
	}
	r.add("ext4/list", "b & c", 1500*time.Millisecond, nil)
	return r
}

func TestTable(t *testing.T) {
	want := `Linux <6>; a quick run, 3 rounds; 3 files.
restic is missing.

| | rsbtbackup | restic |
|---|---|---|
| ext4/unchanged | 200 ms | - |
| ext4/list | - | - |

| ext4/unchanged | median | from - to | ours beside it | added |
|---|---|---|---|---|
| rsbtbackup | 200 ms | 100 ms - 300 ms | - | 2.5 MB |
| rsync -a | 400 ms | 200 ms - 600 ms | 0.50 | - |

| ext4/list | median | from - to | ours beside it | added |
|---|---|---|---|---|
| b & c | 1.50 s | 1.50 s - 1.50 s | - | - |
`
	if got := sample().table(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestChart(t *testing.T) {
	chart := sample().chart()
	d := xml.NewDecoder(strings.NewReader(chart))
	bars := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%s", err, chart)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 3 || !strings.Contains(chart, `class="ours" x="120" y="28" width="260.0"`) || !strings.Contains(chart, "b &amp; c") {
		t.Errorf("%d bars\n%s", bars, chart)
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a/b")
	if err := sample().write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	var back results
	if err != nil || json.Unmarshal(text, &back) != nil || len(back.Rows) != 3 || len(back.Rows[0].Seconds) != 3 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-quick", "-only=cold,list"})
	if err != nil || o.rounds != 3 || !o.wanted("ext4/unchanged, cold") || o.wanted("ext4/first backup") || !filepath.IsAbs(o.program) {
		t.Errorf("%v: %+v", err, o)
	}
	if o, err := parse(nil); err != nil || o.rounds != 5 || !o.wanted("anything") {
		t.Errorf("%v: %+v", err, o)
	}
}

// TestTheSourceChanges: what is done to it before each round.
func TestTheSourceChanges(t *testing.T) {
	dir, s := t.TempDir(), sizes{small: 300, large: 64 << 10, moved: 2, churned: 3}
	if err := growTree(dir, s); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		if err := errors.Join(churn(dir, s, round), patch(dir, s, round), move(dir, s, round)); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, largeFile)); err != nil || st.Size() != s.large {
		t.Errorf("the large file: %v, %v", st, err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, movedDir, "f*")); err != nil || len(files) != s.moved {
		t.Errorf("the directory there and back: %q, %v", files, err)
	}
}
