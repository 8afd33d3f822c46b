// Package mounts reads the table of mounts and identifies filesystems.
package mounts
