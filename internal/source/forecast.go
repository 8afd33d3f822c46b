package source

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Forecast is what is known of the space that a first backup takes, in bytes.
type Forecast struct {
	Need       uint64 // by all that is in SRC
	Have       uint64 // of this, in what an interrupted run has copied
	Free       uint64 // in DEST
	Rules      bool   // some of it is left out
	Compressed bool   // DEST stores it compressed
}

// Text warns where it looks as if the backup will not fit, or is empty.
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
	return fmt.Sprintf("%s %s, and %s has %s Free: %s", src, what, dest, humanize.Bytes(f.Free), verdict)
}
