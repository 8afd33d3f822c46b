// Package backup makes one backup: it decides, fills pending, judges the end of rsync and publishes.
//
// The steps of a run, each in a file of its own: guard.go refuses, plan.go decides, transfer.go
// fills, judge.go tells what the end of rsync means, backup.go has them in their order. Plan, guards and
// judge are pure: they see values, no files and no clock.
package backup
