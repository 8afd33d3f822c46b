// Package verify reads backups from the disk, reports damage and which files share it, and compares a backup with a
// source.
package verify
