package jobs

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

const linkPaid = "the connection is metered"

// notNow says why a job is postponed although nothing is wrong with it; "" if it is not.
func (r runner) notNow(ctx context.Context, j config.Job) string {
	switch {
	case j.NoBattery && r.OnBattery():
		return "the machine runs on battery"
	case j.NoMetered && config.Host(j.Backup.Source) != "" && r.Metered(ctx):
		return linkPaid
	}
	return ""
}
