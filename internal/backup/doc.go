// Package backup makes one backup: it decides, fills pending, judges rsync's exit and publishes.
//
// Each step of a run has its own file: guard.go refuses, plan.go decides, fill.go prepares pending, transfer.go runs
// rsync, judge.go decides from its exit status, publish.go publishes; backup.go has their order. Plan, guards and judge
// are pure: they use no files and no clock.
package backup
