// Package doctor tries each step of a job, from the source to the reports at the end, without making a backup.
//
//	doctor.go  which steps there are; what one came to
//	source.go  the way to the source, step by step
//	blame.go   which step an error is about: pure
//	dest.go    DEST, and what rsync needs here
//	around.go  hooks, servers, what is remembered, what starts the job
//
// It changes nothing.
package doctor
