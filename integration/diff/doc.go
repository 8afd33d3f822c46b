// Package diff holds the tests of what differs between backups: diff and history, also as an ordinary user and where a
// backup is gone meanwhile.
package diff
