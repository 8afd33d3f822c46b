package pending

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func TestMadeFor(t *testing.T) {
	for code, want := range map[string]bool{
		"hf+++++++++": true, "hf": true, "hS": true, "cD+++++++++": true, "cS+++++++++": true, "cL+++++++++": true,
		".d..t......": true, ".f...p.....": true, ".f...p..a..": true,
		".d...p.....": false, ".d..tp.....": false, ">f.st......": false, ">f..t......": false, ">f+++++++++": false, ">fc........": false,
		"cd+++++++++": false, ".f....o....": false, ".f.......x.": false, "*deleting": false, ".L..t......": false,
	} {
		if got := MadeFor([]string{"g"}, false)(rsyncexec.Change{Code: code, Path: "f"}); got != want {
			t.Errorf("%s: got %v, want %v", code, got, want)
		}
	}
	for code, want := range map[string]bool{
		">f..t......": true, ".f..t......": true, ">f..tp.....": true, ".f........x": true, ">f..tp..a.x": true,
		">f.st......": false, ">f..t.g....": false, ">f..to.....": false, ">f+++++++++": false, ".L..t......": false, "*deleting": false,
	} {
		if got := MadeFor(nil, true)(rsyncexec.Change{Code: code, Path: "f"}); got != want {
			t.Errorf("%s in a resumed run: got %v, want %v", code, got, want)
		}
		if got := MadeFor([]string{"e", "f"}, false)(rsyncexec.Change{Code: code, Path: "f"}); got != want {
			t.Errorf("%s of a doubtful file: got %v, want %v", code, got, want)
		}
	}
}
