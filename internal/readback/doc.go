// Package readback reads files from the disk, past the page cache, and tells which ranges are damaged.
package readback
