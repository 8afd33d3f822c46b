package replica

import (
	"context"
	"errors"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// mayPrune: a target that lacks a backup deletes nothing, unless it is full.
func (c *copying) mayPrune(err error) bool {
	return !c.o.DryRun && !c.o.Keep.IsEmpty() && (!c.lacks() || errors.Is(err, facts.ErrNoSpace))
}

// lacks reports whether the target lacks a backup that was to be copied.
func (c *copying) lacks() bool {
	return slices.ContainsFunc(c.report.Backups, func(b Copied) bool { return b.Result == ResultFailed })
}

func checkKeep(keep retention.Policy) error {
	if keep.IsEmpty() {
		return nil
	}
	if err := keep.Validate(); err != nil {
		return fail.Step("options", fail.Kind(facts.ErrUsage, err))
	}
	return nil
}

// pruneTo deletes what the policy of the target does not keep, after the new copies have arrived.
func pruneTo(ctx context.Context, c *store.Locked, keep retention.Policy) ([]string, error) {
	state, err := c.Store.ReadState(c.Now.Location())
	if err != nil {
		return nil, fail.Step("read", err)
	}
	c.State = state
	report, err := prune.Locked(ctx, c, prune.Options{Policy: keep})
	return report.Deleted, fail.Step("prune", err)
}

// keepFlags are the flags of a policy for the other side. There is none for Age, so samePolicy refuses a policy with
// it.
func keepFlags(p retention.Policy) []string {
	p.Age = retention.Span{}
	var flags []string
	for _, rule := range p.Rules() {
		flags = append(flags, "--keep-"+rule.Name+"="+rule.Value)
	}
	return flags
}

// samePolicy refuses other rules than those of the command that the key is restricted to: the holder of the key must
// not decide what is deleted in the target, so other rules would never be applied.
func samePolicy(asked, there retention.Policy) error {
	if asked.IsEmpty() || asked == there {
		return nil
	}
	return fail.Kindf(facts.ErrUsage, "the other side uses its own rules, %q, not %q: its command decides which backups are deleted there, such as the one in authorized_keys",
		keepFlags(there), keepFlags(asked))
}
