// Package pending prepares pending so that rsync can safely write to it, and corrects afterwards what rsync does not.
package pending
