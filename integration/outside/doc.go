// Package outside rebuilds what people reported of the world around a backup: other filesystems, strange sources, odd
// targets, limits of the machine. Each test is one such report.
package outside
