// Package restore proves that what a backup holds can be looked at and put back: the same by content and metadata,
// nowhere else, and nothing through a symlink. It needs what package integration needs.
package restore
