// Package jobs runs the jobs of a config, and reports their state.
//
//	run.go       all of them: what Run and its report are
//	queue.go     which job is next: pure
//	job.go       one of them: its steps, one after the other
//	course.go    one try of it: hooks, the backup, what follows
//	hook.go      the programs around it, and what they are told
//	tail.go      the end of its log
//	steps.go     which steps follow a backup: pure
//	notnow.go    which jobs are left for another time
//	look.go      what DEST says: when a backup was made, when it was read back
//	state.go     what is remembered: small files that may be lost
//	priority.go  nice and ionice
//	status.go    how each job stands
//
// A failure of one job, or of one step, does not stop other jobs, and is reported under its own name.
package jobs
