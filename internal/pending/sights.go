package pending

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// Sights is what several goroutines collect while a source is walked that pending will be compared with.
type Sights struct {
	*source.Survey
	SparseFiles SparseFiles
	Odd         source.Oddities
	Many        source.Crowded
	Touched     *Touched // nil: not collected
	Unmarked    error    // of Suspect
	pending     *os.File
}

func NewSights(pending *os.File, touched *Touched) *Sights {
	s := &Sights{Touched: touched, pending: pending}
	s.Survey = source.NewSurvey(func(dir int, path string, st *unix.Stat_t) {
		s.SparseFiles.See(pending, dir, path, st)
		s.Odd.Look(dir, path, st)
		s.Many.Look(path, st)
		s.Touched.See(pending, dir, path, st)
	})
	return s
}
