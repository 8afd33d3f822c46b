// Package prune decides which backups to delete, and deletes them: by policy, for space, by name. It also sets pins.
package prune
