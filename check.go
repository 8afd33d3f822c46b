// Check: is DEST as it should be? For monitoring: it asks, and changes nothing.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// ErrCheck: Check found something that somebody must look at.
var ErrCheck = errors.New("check failed")

// CheckLevel is how bad it is.
type CheckLevel string

const (
	// CheckOK: as it should be.
	CheckOK CheckLevel = "ok"
	// CheckWarn: worth a look, but backups go on and can be restored.
	CheckWarn CheckLevel = "warn"
	// CheckFail: somebody must do something.
	CheckFail CheckLevel = "fail"
)

// worse orders levels.
func (l CheckLevel) worse(than CheckLevel) bool { return l.rank() > than.rank() }

func (l CheckLevel) rank() int {
	switch l {
	case CheckFail:
		return 2
	case CheckWarn:
		return 1
	}
	return 0
}

const (
	defaultMaxAge = 26 * time.Hour
	// The least free space, in percent, and the least room for metadata.
	defaultMinFree     = 5
	defaultMinMetadata = 128 << 20
)

// CheckOptions are the options of Check. The zero value is usable.
type CheckOptions struct {
	// MaxAge of the newest complete backup, counted from the end of its
	// transfer or else from its name; 0 means 26 hours.
	MaxAge time.Duration
	// MinFree is the least space that must be free; the zero value means 5 %.
	// Below twice as much it warns.
	MinFree MinFree
	// MinMetadata is the least room for metadata, in bytes; 0 means 128 MiB, or
	// a 64th of a filesystem below 8 GiB. Below twice as much it warns.
	MinMetadata uint64
	Now         time.Time // zero is the present
}

// CheckResult is the answer to one question.
type CheckResult struct {
	// Name is backup, cur, pending, records, verified, space, metadata,
	// devices, mount or log; or open, which then is the only one.
	Name  string     `json:"name"`
	Level CheckLevel `json:"level"`
	Text  string     `json:"text"`
}

// CheckReport has the answers, always in the same order.
type CheckReport struct {
	Dest    string        `json:"dest"`
	Level   CheckLevel    `json:"level"` // the worst
	Results []CheckResult `json:"results"`
}

func (r *CheckReport) add(name string, level CheckLevel, format string, args ...any) {
	r.Results = append(r.Results, CheckResult{name, level, fmt.Sprintf(format, args...)})
	if level.worse(r.Level) {
		r.Level = level
	}
}

// Count is the number of results of that level.
func (r *CheckReport) Count(level CheckLevel) int { return len(r.texts(level)) }

// texts are the results of that level, each with its name.
func (r *CheckReport) texts(level CheckLevel) []string {
	var texts []string
	for _, c := range r.Results {
		if c.Level == level {
			texts = append(texts, c.Name+": "+c.Text)
		}
	}
	return texts
}

// failure names each check that failed, and why; nil if none did.
func (r *CheckReport) failure() error {
	failed := r.texts(CheckFail)
	if len(failed) == 0 {
		return nil
	}
	return failf(ErrCheck, "%d of %d checks of %s failed: %s", len(failed), len(r.Results), r.Dest, strings.Join(failed, "; "))
}

// Check looks at DEST and reports on each of the questions in CheckResult. It
// takes no lock, not even for an instant, so a backup can run or start
// meanwhile, and it works on a read-only mount. It needs no more than read
// access to DEST and .log.
//
// Errors match ErrCheck if any result is CheckFail, or are those of List. The
// report is valid with any error.
func Check(ctx context.Context, dest string, o CheckOptions) (*CheckReport, error) {
	report := &CheckReport{Dest: dest, Level: CheckOK}
	in, err := look(ctx, dest, o)
	if err != nil {
		report.add("open", CheckFail, "%v", withoutPlace(err, dest))
		return report, err
	}
	report.Dest = in.dest
	for _, check := range []func(*checkInput, *CheckReport){
		checkBackup, checkCur, checkPending, checkRecords, checkVerified,
		checkSpace, checkMetadata, checkDevices, checkMount, checkLog,
	} {
		check(in, report)
	}
	return report, report.failure()
}

// withoutPlace is err without what a line about dest says already.
func withoutPlace(err error, dest string) error {
	var failed *StepError
	if errors.As(err, &failed) && failed.Step == "DEST" {
		err = failed.Err
	}
	var at *fs.PathError
	if path, absErr := filepath.Abs(dest); errors.As(err, &at) && absErr == nil && at.Path == path {
		return at.Err
	}
	return err
}

// checkInput is all that the checks judge, read once. They are pure.
type checkInput struct {
	dest        string
	now         time.Time
	maxAge      time.Duration
	minFree     MinFree
	minMetadata uint64

	state        *state
	running      *holder // the run that holds the lock, or nil
	pendingSince time.Time

	free, total uint64
	spaces      []btrfs.Space
	devices     []btrfs.Device
	devicesErr  error
	mount       mount
	log         logState
}

// look reads everything. What only one check needs and can not be read is
// that check's to tell.
func look(ctx context.Context, dest string, o CheckOptions) (in *checkInput, err error) {
	s, err := openStore(dest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	in = &checkInput{dest: s.path, now: now(o.Now), maxAge: o.MaxAge, minFree: o.MinFree, minMetadata: o.MinMetadata}
	// The lock first: a run that ends while we look has then left nothing behind.
	in.mount = readMount(s.dir)
	in.running = s.runningNow(in.mount)
	if in.state, err = s.readState(time.Local); err != nil {
		return nil, step("read", err)
	}
	if in.running == nil {
		in.running = s.runningNow(in.mount) // one that began while we looked
	}
	if in.free, in.total, err = s.space(); err != nil {
		return nil, step("read", err)
	}
	if in.spaces, err = btrfs.SpaceInfo(s.dir); err != nil {
		return nil, step("read", err)
	}
	in.devices, in.devicesErr = btrfs.DeviceStats(s.dir)
	in.pendingSince = s.pendingSince()
	in.log = s.readLogState()
	in.fillDefaults()
	return in, ctx.Err()
}

func (in *checkInput) fillDefaults() {
	if in.maxAge == 0 {
		in.maxAge = defaultMaxAge
	}
	if in.minFree.isZero() {
		in.minFree.Percent = defaultMinFree
	}
	if in.minMetadata == 0 {
		in.minMetadata = min(defaultMinMetadata, in.total/64)
	}
}
