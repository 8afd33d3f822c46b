package replica

import (
	"context"
	"time"
)

// CopyWithin is Copy with less patience.
func CopyWithin(ctx context.Context, patience time.Duration, dest, target string, o Options) (*Report, error) {
	c := newCopying(o, &Report{})
	c.patience = patience
	err := c.between(ctx, dest, target, nil)
	return c.report, err
}

// CompareWithin is Compare with less patience.
func CompareWithin(ctx context.Context, patience time.Duration, dest, target string, o CompareOptions) error {
	c := newCopying(Options{SSH: o.SSH, Program: o.Program}, &Report{})
	c.patience = patience
	return (&matching{copying: c, o: o, report: &CompareReport{}}).between(ctx, dest, target, nil)
}
