// Package restore restores a backup, or parts of it: by reflink where possible, otherwise by rsync.
package restore
