// Package prune proves what prune, rotate, delete, pin and unpin promise: what is kept, that nothing else is touched,
// that the space comes back, and that no interruption leaves half a backup.
package prune
