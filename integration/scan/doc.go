// Package scan has tests of how a backup finds out what has changed: each compares a backup made by a walk of the
// source with one that rsync made by comparing everything.
package scan
