package replay

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

// TestReplay plays streams as the kernel writes them.
func TestReplay(t *testing.T) {
	for _, tt := range []struct {
		name          string
		commands      []sendstream.Command
		before, after []string
		touched       []touchedFile
	}{
		{"nothing", []sendstream.Command{sendstream.Snapshot{}, sendstream.End{}}, nil, nil, nil},
		{
			name: "a new file comes by a temporary name",
			commands: []sendstream.Command{
				sendstream.Make{Path: "o300-7-0"},
				sendstream.Rename{Path: "o300-7-0", To: "d/new"},
				sendstream.Utimes{Path: "d"},
				sendstream.UpdateExtent{Path: "d/new", Len: 5},
			},
			before:  []string{"d/new", "o300-7-0"},
			after:   []string{"d/new", "o300-7-0"},
			touched: []touchedFile{{"d", false}},
		},
		{
			name: "a directory is moved, then a file in it is written",
			commands: []sendstream.Command{
				sendstream.Rename{Path: "d", To: "e"},
				sendstream.UpdateExtent{Path: "e/sub/file"},
			},
			before:  []string{"d", "e"},
			after:   []string{"d", "e"},
			touched: []touchedFile{{"e/sub/file", true}},
		},
		{
			name: "a directory in the way is put aside and emptied later",
			commands: []sendstream.Command{
				sendstream.Rename{Path: "d", To: "o257-7-0"},
				sendstream.Rename{Path: "x", To: "d"},
				sendstream.Unlink{Path: "o257-7-0/file"},
				sendstream.Rmdir{Path: "o257-7-0"},
			},
			before: []string{"d", "d/file", "o257-7-0", "x"},
			after:  []string{"d", "o257-7-0", "x"},
		},
		{
			name: "two names change places",
			commands: []sendstream.Command{
				sendstream.Rename{Path: "a", To: "o257-7-0"},
				sendstream.Rename{Path: "b", To: "a"},
				sendstream.Rename{Path: "o257-7-0", To: "b"},
				sendstream.Chmod{Path: "b"},
			},
			before:  []string{"a", "b", "o257-7-0"},
			after:   []string{"a", "b", "o257-7-0"},
			touched: []touchedFile{{"b", false}},
		},
		{
			name: "a file is written by the second of its names, then loses the first",
			commands: []sendstream.Command{
				sendstream.Link{Path: "b", Target: "a"},
				sendstream.Unlink{Path: "a"},
				sendstream.Truncate{Path: "b"},
			},
			before:  []string{"a", "b"},
			after:   []string{"a", "b"},
			touched: []touchedFile{{"b", true}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			played := New()
			for _, c := range tt.commands {
				if err := played.Do(c); err != nil {
					t.Fatal(err)
				}
			}
			before, after := played.Names()
			slices.Sort(before)
			slices.Sort(after)
			if d := cmp.Diff([][]string{tt.before, tt.after}, [][]string{before, after}); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.touched, played.TouchedFiles(), cmp.AllowUnexported(touchedFile{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestReplayNonsense: a stream that refers to what it has removed is an error.
func TestReplayNonsense(t *testing.T) {
	played := New()
	if err := played.Do(sendstream.Unlink{Path: "a"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []sendstream.Command{
		sendstream.Unlink{Path: "a"}, sendstream.Rename{Path: "a", To: "b"}, sendstream.Chmod{Path: "a/b"},
		sendstream.Link{Path: "b", Target: "a"}, sendstream.Make{Path: "a/b"},
	} {
		if err := played.Do(c); err == nil {
			t.Errorf("%T: no error", c)
		}
	}
}
