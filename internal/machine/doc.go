// Package machine finds out whether this machine runs on mains or battery, and whether its network connection is
// metered, and keeps it awake.
//
// If it cannot find out, it assumes mains and an unmetered connection, so that no backup is skipped for lack of
// knowledge.
package machine
