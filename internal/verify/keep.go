// Keeping: the result is written to the record of each backup.

package verify

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// keep writes the result to the records, also to those of backups that were not read but have a damaged block.
func (v *verifying) keep(r Report) {
	results := map[string]facts.VerifyResult{}
	for _, b := range r.Backups {
		results[b.Name] = b.Result
	}
	for name := range v.damaged {
		results[name] = facts.Damaged
	}
	// A cancelled run keeps its result only if it need not wait for the lock.
	ctx, wait := v.ctx, v.store.PublishWait()
	if ctx.Err() != nil {
		ctx, wait = context.WithoutCancel(ctx), 0
	}
	sink, log, err := v.openLog()
	if err != nil {
		v.notice("the result is not stored in the records: " + err.Error())
		return
	}
	said := ""
	for _, b := range v.state.All() {
		result, known := results[b.Name]
		if !known || result == facts.Unread {
			continue
		}
		err := v.store.WriteVerified(ctx, wait, b, facts.Verification{At: store.Now(v.o.Now).UTC(), Result: result, Metadata: v.metadata[b.Name]})
		if err != nil && !errors.Is(err, facts.ErrNoBackup) {
			if err.Error() == said { // it is about all records
				break
			}
			said = err.Error()
			v.notice("the result is not stored in the records: " + err.Error())
			if b.RecordError == "" {
				break // further records would fail too
			}
		}
	}
	if sink != nil {
		log.Info("verified", "backups", len(r.Backups), "files", r.Files, "bytes", r.Bytes, "damaged", r.Damaged, "unread", r.Unread, "not_verified", r.NotVerified)
		store.CloseLog(sink, v.o.Logger)
	}
}

// openLog is called before any record is written: it refuses a DEST of another user, who could not read the records any
// more. On a read-only mount there is no log.
func (v *verifying) openLog() (*store.ActivityLog, *slog.Logger, error) {
	sink, log, err := v.store.OpenLog(v.o.Logger)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		return nil, nil, nil
	}
	return sink, log, err
}

// verdict is the error for a report.
func verdict(r Report) error {
	var damaged, unread, unsure error
	if n := r.Damaged; n > 0 {
		damaged = fail.Kindf(facts.ErrDamaged, "%s damaged in %s", say.Plural(n, "file"), r.Dest)
	}
	if n := r.Unread; n > 0 {
		unread = fail.Kindf(facts.ErrUnread, "%s could not be read, the first: %s", say.Plural(n, "file"), r.Unreads[0])
	}
	if n := r.NotVerified; n > 0 {
		first := r.NotVerifiedFiles[0]
		unsure = fail.Kindf(facts.ErrNotVerified, "%s could not be verified, because they have no checksums; the first: %q in %s", say.Plural(n, "file"), first.Path, first.Backup)
	}
	return errors.Join(damaged, unread, unsure)
}
