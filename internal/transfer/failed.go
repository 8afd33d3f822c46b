// Which files a restore did not restore: rsync names them, some of them several times, because it tries again what it
// could not verify.

package transfer

import (
	"hash/maphash"
	"regexp"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// failedFiles counts files by their names, in little memory.
type failedFiles struct {
	seed  maphash.Seed
	names map[uint64]struct{}
}

func newFailedFiles() *failedFiles {
	return &failedFiles{maphash.MakeSeed(), map[uint64]struct{}{}}
}

func (f *failedFiles) add(line string) {
	if name, ok := failedName(line); ok {
		f.names[maphash.String(f.seed, name)] = struct{}{}
	}
}

var (
	failedCall  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^rsync: .*?"(.*)"`) })
	failedCheck = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^ERROR: (.*) failed verification -- update discarded\.$`)
	})
)

// failedName returns the file that a message of rsync (3.5.0) is about, below the backup or the target.
func failedName(line string) (string, bool) {
	if m := failedCheck().FindStringSubmatch(line); m != nil {
		return m[1], true
	}
	m := failedCall().FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	name := m[1]
	for _, root := range []string{SourceFD, source.Inherited} {
		name = strings.TrimPrefix(name, root+"/")
	}
	return name, true
}
