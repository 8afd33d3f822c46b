package fail

import (
	"errors"
	"fmt"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"golang.org/x/sys/unix"
)

// Step wraps err, if any, and lets a full disk or quota be recognised by errors.Is(err, ErrNoSpace) whichever call met
// it.
func Step(name string, err error) error {
	if err == nil {
		return nil
	}
	// A source cannot make DEST full.
	if IsFull(err) && !errors.Is(err, facts.ErrNoSpace) && !errors.Is(err, facts.ErrSource) {
		err = kindError{facts.ErrNoSpace, err}
	}
	return &facts.StepError{Step: name, Err: err}
}

// A kindError files a cause under one of the sentinels above without repeating the sentinel's text.
type kindError struct{ kind, err error }

func (e kindError) Error() string { return e.err.Error() }

func (e kindError) Unwrap() []error { return []error{e.kind, e.err} }

// Kindf makes an error of the given kind; format may carry %w.
func Kindf(kind error, format string, args ...any) error {
	return kindError{kind, fmt.Errorf(format, args...)}
}

// Kind files err under one of the kinds of facts, which errors.Is then finds.
func Kind(kind, err error) error { return kindError{kind, err} }

// IsFull tells that there is no room, or no quota, left.
func IsFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
