// Package pending makes pending safe to be written by rsync, and puts right afterwards what rsync does not.
package pending
