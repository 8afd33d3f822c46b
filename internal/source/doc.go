// Package source is SRC: what it is, which filesystem it is on, how it overlaps with DEST, which rules apply, and how
// rsync reads it.
package source
