// Command rsbtbackup makes incremental backups with rsync into btrfs snapshots.
//
// It is a thin layer over the package rsbtbackup: one file per command turns a command line into one call and its
// result into lines. The rest is shared:
//
//	run.go       from arguments to the exit code
//	grammar.go   the commands and the flags they have in common
//	ui.go        every write to the user; clean.go makes it safe for a terminal
//	exit.go      from errors to exit codes
//	hint.go      from errors to a command worth typing
//	json.go      what --json prints
//	config.go    many jobs: the config; its hints in hintconfig.go
//	runjobs.go   the jobs; what is shown of them in runbars.go, reports to servers in runtell.go
//	notify.go    messages to systemd
//	signals.go   what Ctrl-C does
//	complete.go  what the Tab key asks; the scripts for shells are in completion.go
package main

import (
	"os"
	"runtime"
	"syscall"
)

// The main goroutine stays on the main thread: rsync's parent-death signal is tied to the thread that started it
// (prctl(2), PR_SET_PDEATHSIG), this thread lives exactly as long as the process, and a trace shows every step of a
// backup in one thread.
func init() { runtime.LockOSThread() }

func main() {
	// What is made in DEST is private until rsync gives it the mode it has at the source; a file of mode 0600 is at no
	// instant readable by others.
	syscall.Umask(0o077)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
