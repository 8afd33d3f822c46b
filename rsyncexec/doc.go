// Package rsyncexec runs one rsync child: it turns options into an argument vector, runs the child until all of its
// processes have ended, and returns its output as progress, statistics and one error. It knows nothing about backups.
//
//	ParseSource, CheckExtra   what a user typed, checked before anything is started  (source.go, extra.go, extratable.go)
//	Options.Argv              the argument vector, pure                              (options.go)
//	Run, Probe                the child                                              (run.go, probe.go, env.go, alias.go)
//	ParseProgress, ParseStats,
//	ParseChange               what it prints                                         (progress.go, stats.go, change.go, output.go)
//	ExitError, ExitName       how it ended                                           (exit.go)
//
// The oldest rsync accepted is MinVersion.
package rsyncexec
