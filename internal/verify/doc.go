// Package verify reads backups back from the disk, tells what is damaged and who shares it, and compares a
// backup with a source.
package verify
