// Package prune decides which backups go, and lets them go: by policy, for space, by name. It keeps pins.
package prune
