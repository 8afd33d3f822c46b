package rsyncexec

// ExtraError is an option of Options.Extra that CheckExtra refuses. Hint is "" or what to write instead.
type ExtraError struct {
	Arg    string
	Reason string
	Hint   string
}

// CheckExtra checks further options for rsync. The error is an *ExtraError.
func CheckExtra(args []string) error { return nil }

// DryRunAsked tells whether -n or --dry-run is among the options, also in a cluster such as -vn.
func DryRunAsked(args []string) bool { return false }

func (e *ExtraError) Error() string { return e.Arg + ": " + e.Reason }
