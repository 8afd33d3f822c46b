// Exit codes. People script against them: the root help lists them, and none
// is ever given another meaning.

package main

import (
	"errors"

	"github.com/rsbtbackup/rsbtbackup"
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
	exitSignal     = 128 // plus its number, as shells have it
)

// message is the one line about err. What rsync says about its own end adds
// nothing where a signal ended the run.
func message(err error) string {
	var stopped signalError
	var step *rsbtbackup.StepError
	if errors.As(err, &stopped) && errors.As(err, &step) {
		return step.Step + ": interrupted: " + stopped.Error()
	}
	return oneLine(err)
}

// exitCode maps an error to the exit code. Where an error has several causes
// the first case that fits wins: why a run was stopped before what came of it.
func exitCode(err error) int {
	var stopped signalError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &stopped):
		return exitSignal + int(stopped.signal)
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
