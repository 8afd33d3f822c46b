package rsbtbackup_test

import (
	"flag"
	"os"
	"testing"
)

// examplesRun is set in the environment of the process that runs the examples. They need root, and at /srv a btrfs that
// TestExamples makes; elsewhere they are compiled only.
const examplesRun = "RSBTBACKUP_EXAMPLES"

func TestMain(m *testing.M) {
	flag.Parse()
	if skip := flag.Lookup("test.skip"); os.Getenv(examplesRun) == "" && skip.Value.String() == "" {
		_ = skip.Value.Set("^Example") // any pattern is a string
	}
	os.Exit(m.Run())
}
