// Package space measures what backups hold on disk alone, so that one can tell what their deletion would free.
package space
