package fail

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"golang.org/x/sys/unix"
)

// Step wraps err, if any. A full disk or quota, from any call, then matches ErrNoSpace.
func Step(name string, err error) error {
	if err == nil {
		return nil
	}
	// An error of the source does not mean that DEST is full.
	if IsFull(err) && !errors.Is(err, facts.ErrNoSpace) && !errors.Is(err, facts.ErrSource) {
		err = kindError{facts.ErrNoSpace, err}
	}
	return &facts.StepError{Step: name, Err: err}
}

// A kindError makes a cause match one of the kinds without repeating the text of the kind.
type kindError struct{ kind, err error }

func (e kindError) Error() string { return e.err.Error() }

func (e kindError) Unwrap() []error { return []error{e.kind, e.err} }

// Kindf makes an error of the given kind; format may carry %w.
func Kindf(kind error, format string, args ...any) error {
	return kindError{kind, fmt.Errorf(format, args...)}
}

// Kind makes err match one of the kinds of package facts.
func Kind(kind, err error) error { return kindError{kind, err} }

// Several joins errors of the same kind, such as those of many deletions. All of them can be matched; the text has the
// first three.
func Several(errs []error) error {
	const most = 3
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(errs) > most+1 {
		errs = append(errs[:most:most], moreErrors(errs[most:]))
	}
	return errors.Join(errs...)
}

type moreErrors []error

func (m moreErrors) Error() string { return fmt.Sprintf("and %d more", len(m)) }

func (m moreErrors) Unwrap() []error { return m }

// IsFull reports that there is no space, or no quota, left.
func IsFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
