// Package transfer runs rsync and interprets its messages and exit status. It knows which faults of rsync need a second
// run.
package transfer
