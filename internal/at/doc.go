// Package at has the calls that are relative to a descriptor: no path is looked up twice, and no symlink is followed.
package at
