// Package transfer knows rsync as a partner: what its messages and its end mean, and which of its faults need a second
// run.
package transfer
