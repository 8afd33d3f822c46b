// Check: the state of DEST, for monitoring. It changes nothing.

package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// worse orders levels.
func worse(l facts.CheckLevel, than facts.CheckLevel) bool { return rank(l) > rank(than) }

func rank(l facts.CheckLevel) int {
	switch l {
	case facts.CheckFail:
		return 2
	case facts.CheckWarn:
		return 1
	}
	return 0
}

const (
	defaultMaxAge = 26 * time.Hour
	// The default for the free space, in percent, and for the free metadata space.
	defaultMinFree     = 5
	defaultMinMetadata = 128 << 20
)

// Options are rsbtbackup.CheckOptions, where each field has its comment.
type Options struct {
	MaxAge        time.Duration
	MinFree       facts.MinFree
	MinMetadata   uint64
	AcceptDamaged []string
	Now           time.Time
}

// Report is rsbtbackup.CheckReport, where each field has its comment.
type Report struct {
	Dest    string
	Level   facts.CheckLevel
	Results []facts.CheckResult
}

func (r *Report) add(name string, level facts.CheckLevel, format string, args ...any) {
	r.Results = append(r.Results, facts.CheckResult{Name: name, Level: level, Text: fmt.Sprintf(format, args...)})
	if worse(level, r.Level) {
		r.Level = level
	}
}

// Count is the number of results of that level.
func (r *Report) Count(level facts.CheckLevel) int { return len(r.texts(level)) }

// texts returns the results of that level, each with its name.
func (r *Report) texts(level facts.CheckLevel) []string {
	var texts []string
	for _, c := range r.Results {
		if c.Level == level {
			texts = append(texts, c.Name+": "+c.Text)
		}
	}
	return texts
}

// failure names each check that failed, and why; nil if none did.
func (r *Report) failure() error {
	failed := r.texts(facts.CheckFail)
	if len(failed) == 0 {
		return nil
	}
	return fail.Kindf(facts.ErrCheck, "%d of %d checks of %s failed: %s", len(failed), len(r.Results), r.Dest, strings.Join(failed, "; "))
}

// Run is rsbtbackup.Check.
func Run(ctx context.Context, dest string, o Options) (*Report, error) {
	report := &Report{Dest: dest, Level: facts.CheckOK}
	in, err := look(ctx, dest, o)
	if err != nil {
		report.add("open", facts.CheckFail, "%v", withoutPlace(err, dest))
		return report, err
	}
	report.Dest = in.dest
	for _, check := range []func(*checkInput, *Report){
		checkBackup, checkCur, checkPending, checkRecords, checkVerified, checkCopies,
		checkSpace, checkMetadata, checkDevices, checkMount, checkLog,
	} {
		check(in, report)
	}
	return report, report.failure()
}

// withoutPlace is err without the path of dest, which the line already has.
func withoutPlace(err error, dest string) error {
	var failed *facts.StepError
	if errors.As(err, &failed) && failed.Step == "DEST" {
		err = failed.Err
	}
	var at *fs.PathError
	if path, absErr := filepath.Abs(dest); errors.As(err, &at) && absErr == nil && at.Path == path {
		return at.Err
	}
	return err
}

// checkInput is everything that the checks need, read once. The checks are pure.
type checkInput struct {
	dest        string
	now         time.Time
	maxAge      time.Duration
	minFree     facts.MinFree
	minMetadata uint64
	accepted    []string // backups whose damage is known

	state        *store.State
	running      *store.Holder // the run that holds the lock, or nil
	pendingSince time.Time

	free, total uint64
	spaces      []btrfs.Space
	devices     []btrfs.Device
	devicesErr  error
	mount       mounts.Mount
	unsummed    string // why new data has no checksums
	log         store.LogState
}

// look reads everything. If something cannot be read that only one check needs, that check reports it.
func look(ctx context.Context, dest string, o Options) (in *checkInput, err error) {
	s, err := store.Open(dest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	in = &checkInput{dest: s.Path, now: store.Now(o.Now).UTC(), maxAge: o.MaxAge, minFree: o.MinFree, minMetadata: o.MinMetadata, accepted: o.AcceptDamaged}
	// The lock first: a run that ends while look reads then leaves no unfinished state.
	in.mount = mounts.ReadMount(s.Dir)
	in.running = s.RunningNow(in.mount)
	if in.state, err = s.ReadState(time.Local); err != nil {
		return nil, fail.Step("read", err)
	}
	in.unsummed = s.WithoutChecksums(in.state)
	if in.running == nil {
		in.running = s.RunningNow(in.mount) // a run that began meanwhile
	}
	if in.free, in.total, err = s.Space(); err != nil {
		return nil, fail.Step("read", err)
	}
	if in.spaces, err = btrfs.SpaceInfo(s.Dir); err != nil {
		return nil, fail.Step("read", err)
	}
	in.devices, in.devicesErr = btrfs.DeviceStats(s.Dir)
	in.pendingSince = s.PendingSince()
	in.log = s.ReadLogState()
	in.fillDefaults()
	return in, ctx.Err()
}

func (in *checkInput) fillDefaults() {
	if in.maxAge == 0 {
		in.maxAge = defaultMaxAge
	}
	if space.IsZero(in.minFree) {
		in.minFree.Percent = defaultMinFree
	}
	if in.minMetadata == 0 {
		in.minMetadata = min(defaultMinMetadata, in.total/64)
	}
}
