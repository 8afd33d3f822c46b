// Package readback reads files from the disk, bypassing the page cache, and finds damaged ranges.
package readback
