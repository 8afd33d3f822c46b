// Package mounts reads the table of mounts and tells one filesystem from another.
package mounts
