// Package restore puts a backup, or parts of it, back: by reflink where that can be, otherwise by rsync.
package restore
