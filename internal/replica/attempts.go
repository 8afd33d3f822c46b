package replica

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// errUnsent: DEST could not give a backup, wherever it is.
var errUnsent = errors.New("not sent")

// errIncrement: the kernel could not send a backup as an increment.
var errIncrement = errors.New("no increment")

const (
	// maxUnfit is how many backups are tried to send an increment of, before a backup is sent whole.
	maxUnfit = 2
	// maxUnsent is how many of them there may be in one run: each may be read for hours up to its damage.
	maxUnsent = 3
	// maxGone is how often DEST may be pruned during one run.
	maxGone = 100
)

// unsent marks an error of the sending side that is about one backup.
func unsent(err error) error {
	switch {
	case errors.Is(err, facts.ErrBackupGone), errors.Is(err, facts.ErrDamaged), errors.Is(err, errIncrement):
	case errors.Is(err, fs.ErrNotExist):
		err = fail.Kind(facts.ErrBackupGone, err)
	case btrfs.IsDamage(err):
		err = fail.Kind(facts.ErrDamaged, err)
	default:
		return err
	}
	return fail.Kind(errUnsent, err)
}

// attempts goes on without a backup that DEST cannot give: it would keep all others from being copied, in each run. One
// that was deleted meanwhile is nothing that TARGET lacks. What the kernel cannot send as an increment of one backup is
// sent as one of another, or whole.
func (c *copying) attempts(ctx context.Context, attempt func() error) error {
	for gone := 0; ; {
		err := attempt()
		if !errors.Is(err, errUnsent) || ctx.Err() != nil || len(c.report.Backups) == 0 {
			return err
		}
		failed := c.report.Backups[len(c.report.Backups)-1]
		switch {
		case errors.Is(err, facts.ErrBackupGone):
			gone++
		case errors.Is(err, errIncrement):
			c.unfit[failed.Name] = append(c.unfit[failed.Name], failed.Parent)
		default:
			c.unsent[failed.Name] = strings.TrimPrefix(failed.Error, failed.Name+": ")
		}
		if gone > maxGone || len(c.unsent) > maxUnsent {
			return err
		}
		// What was refused is refused again, by the next plan.
		c.report.Backups = slices.DeleteFunc(c.report.Backups, func(b Copied) bool { return !b.settled() })
		if c.store == nil {
			continue // the other host says anew what it has
		}
		if readErr := c.read(); readErr != nil {
			return errors.Join(err, readErr)
		}
	}
}

// settled reports whether the backup is in the target.
func (b Copied) settled() bool { return b.Result == ResultCopied || b.Result == ResultHad }

// settled reports whether that is known from an earlier attempt.
func (c *copying) settled(s Step) bool {
	return slices.ContainsFunc(c.report.Backups, func(b Copied) bool { return b.Name == s.Item.Name && b.settled() })
}

// sendable are the backups of DEST, as far as they could be sent.
func (c *copying) sendable() []Item {
	items := slices.Clone(c.items)
	for i, item := range items {
		items[i].Unfit = c.unfit[item.Name]
		if why, ok := c.unsent[item.Name]; ok {
			items[i].WhyNot = why
		}
	}
	return items
}
