// Trying the copies of a job, for rsbtbackup config check --online.

package main

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/doctor"
)

func triedDest(ctx context.Context, j config.Job) tryObject {
	return tried(j, "dest "+j.Backup.Dest, doctor.Dest(ctx, j)[:1])
}

func triedCopies(ctx context.Context, j config.Job) []tryObject {
	var all []tryObject
	for _, c := range j.Copies {
		all = append(all, tried(j, "copy "+c.Name+" "+c.Target, []doctor.Finding{doctor.Copy(ctx, j, c)}))
	}
	return all
}
