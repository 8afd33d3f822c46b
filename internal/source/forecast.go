package source

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Forecast is what is known about the space that a first backup needs, in bytes.
type Forecast struct {
	Need       uint64 // for everything in SRC
	Have       uint64 // already copied by an interrupted run
	Free       uint64 // in DEST
	Rules      bool   // rules leave something out
	Compressed bool   // DEST compresses
}

// Text warns if the backup seems not to fit, or is empty.
func (f Forecast) Text(src, dest string) string {
	need := f.Need - min(f.Have, f.Need)
	if need <= f.Free {
		return ""
	}
	verdict := "the backup will not fit unless part of SRC is excluded"
	switch {
	case f.Rules && f.Compressed:
		verdict = "the backup fits only if the rules leave out enough, or it can be compressed that far"
	case f.Rules:
		verdict = "the backup fits only if the rules leave out enough"
	case f.Compressed:
		verdict = "the backup fits only if it can be compressed that far"
	}
	what := "takes " + humanize.Bytes(f.Need)
	if f.Have > 0 {
		what += ", of which " + humanize.Bytes(f.Have) + " are copied"
	}
	return fmt.Sprintf("%s %s, and %s has %s free: %s", src, what, dest, humanize.Bytes(f.Free), verdict)
}
