package backup

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// forecast is what is known of the space that a first backup takes, in bytes.
type forecast struct {
	need       uint64 // by all that is in SRC
	have       uint64 // of this, in what an interrupted run has copied
	free       uint64 // in DEST
	rules      bool   // some of it is left out
	compressed bool   // DEST stores it compressed
}

// text warns where it looks as if the backup will not fit, or is empty.
func (f forecast) text(src, dest string) string {
	need := f.need - min(f.have, f.need)
	if need <= f.free {
		return ""
	}
	verdict := "the backup will not fit unless part of SRC is excluded"
	switch {
	case f.rules && f.compressed:
		verdict = "the backup fits only if the rules leave out enough, or it can be compressed that far"
	case f.rules:
		verdict = "the backup fits only if the rules leave out enough"
	case f.compressed:
		verdict = "the backup fits only if it can be compressed that far"
	}
	what := "takes " + humanize.Bytes(f.need)
	if f.have > 0 {
		what += ", of which " + humanize.Bytes(f.have) + " are copied"
	}
	return fmt.Sprintf("%s %s, and %s has %s free: %s", src, what, dest, humanize.Bytes(f.free), verdict)
}
