// Exit codes. Scripts depend on them: the root help lists them, and their meanings never change.

package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
	"github.com/rsbtbackup/rsbtbackup/internal/share"
)

const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitIncomplete = 3
	exitDest       = 10
	exitLocked     = 11
	exitSource     = 12
	exitGuard      = 13
	exitNoSpace    = 14
	exitHook       = 15
	exitSignal     = 128 // plus its number, as in shells
)

// message is the one line about err. If a signal ended the run, rsync's own message adds nothing.
func message(err error) string {
	var stopped signalError
	var step *rsbtbackup.StepError
	if errors.As(err, &stopped) && errors.As(err, &step) {
		return step.Step + ": interrupted: " + stopped.Error()
	}
	return plain(oneLine(err))
}

// ownSteps are steps of the library whose names do not help the user.
var ownSteps = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|: )(?:find|look up|read|open|options): `) })

// plain is a text without the names of such steps.
func plain(text string) string {
	return strings.ReplaceAll(ownSteps().ReplaceAllString(text, "$1"), "dest: DEST: ", "dest: ")
}

// exitCode maps an error to the exit code. If an error has several causes, the first case that matches is used: the
// reason for stopping precedes its consequences.
func exitCode(err error) int {
	var stopped signalError
	var usage *usageError
	var coded *codeError
	var silent *silentError
	var unknown *config.UnknownError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &stopped):
		return exitSignal + int(stopped.signal)
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &silent):
		return silent.code
	case errors.Is(err, jobs.ErrHook):
		return exitHook
	case errors.As(err, &unknown), errors.Is(err, config.ErrConfig), errors.Is(err, config.ErrNoConfig), errors.Is(err, share.ErrPath):
		return exitUsage
	case errors.As(err, &usage), errors.Is(err, rsbtbackup.ErrUsage), errors.Is(err, rsbtbackup.ErrNoBackup), errors.Is(err, rsbtbackup.ErrAmbiguous), errors.Is(err, rsbtbackup.ErrNoPath):
		return exitUsage
	case errors.Is(err, rsbtbackup.ErrNotInitialized), errors.Is(err, rsbtbackup.ErrNotBtrfs), errors.Is(err, rsbtbackup.ErrDest):
		return exitDest
	case errors.Is(err, rsbtbackup.ErrLocked):
		return exitLocked
	case errors.Is(err, rsbtbackup.ErrSource), errors.Is(err, rsbtbackup.ErrTarget):
		return exitSource
	case errors.Is(err, rsbtbackup.ErrGuard):
		return exitGuard
	case errors.Is(err, rsbtbackup.ErrNoSpace):
		return exitNoSpace
	case errors.Is(err, rsbtbackup.ErrIncomplete):
		return exitIncomplete
	}
	return exitFailed
}

// codeError is an error with a known exit code.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }

// severity ranks exit codes: the most severe one of several jobs is that of the run. Failures that need action are more
// severe than those that the next run may not have.
func severity(code int) int {
	if code > exitSignal {
		return len(bySeverity) + 1
	}
	if i := slices.Index(bySeverity, code); i >= 0 {
		return i
	}
	return len(bySeverity)
}

// bySeverity are the exit codes, the most severe last; see the help of run.
var bySeverity = []int{exitOK, exitIncomplete, exitLocked, exitSource, exitGuard, exitHook, exitDest, exitNoSpace, exitUsage, exitFailed}
