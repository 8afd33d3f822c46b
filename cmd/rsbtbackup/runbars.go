// The output of run while it runs: on a terminal a bar for each job, otherwise a line for each job that ends.

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// runWatcher is called by jobs.Run, from several goroutines.
type runWatcher struct {
	u      *ui
	screen *mpb.Progress // nil if no bars are shown
	unit   *unitStatus
	others telling

	mu   sync.Mutex
	bars map[string]*jobBar
	held map[string]*heldLines // rsync's progress in the current step of a job
}

func newRunWatcher(u *ui, others telling) *runWatcher {
	w := &runWatcher{u: u, bars: map[string]*jobBar{}, held: map[string]*heldLines{}, unit: &unitStatus{log: u.log}, others: others}
	if u.terminal && !u.quiet && !u.json {
		w.screen = mpb.New(mpb.WithOutput(u.stderr), mpb.WithAutoRefresh())
		u.setBar(w.screen)
	}
	return w
}

// Log is the log for one step of a job.
func (w *runWatcher) Log(j config.Job) *slog.Logger {
	name := slog.String("job", j.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held[j.Name] == nil {
		held := w.u.rsyncLines.of(name)
		if held == nil {
			return w.u.log.With(name)
		}
		w.held[j.Name] = held
	}
	return slog.New(w.held[j.Name])
}

// Starts is called before the backup of a job.
func (w *runWatcher) Starts(j config.Job) { w.others.starts(j) }

// Begins shows the bar of a step.
func (w *runWatcher) Begins(j config.Job, s jobs.Step) {
	w.u.log.Info("begins", "job", j.Name, "step", s)
	w.unit.begins(j.Name, s)
	w.mu.Lock()
	delete(w.held, j.Name) // the warning has the messages of the try before
	w.mu.Unlock()
	if w.screen == nil {
		return
	}
	b := &jobBar{label: j.Name + " " + string(s), started: time.Now()}
	b.bar = w.screen.New(0, b, mpb.BarFillerTrim())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(j.Name)
	w.bars[j.Name] = b
}

// take removes the bar of a job from the screen.
func (w *runWatcher) take(job string) {
	if b := w.bars[job]; b != nil {
		b.bar.Abort(true)
		delete(w.bars, job)
	}
}

func (w *runWatcher) bar(job string) *jobBar {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bars[job]
}

// Transfers updates the bar of a backup.
func (w *runWatcher) Transfers(j config.Job, p rsbtbackup.Progress) {
	if b := w.bar(j.Name); b != nil {
		b.mu.Lock()
		b.seen = b.seen.add(p)
		b.mu.Unlock()
	}
}

// Verifies updates the bar of a verify.
func (w *runWatcher) Verifies(j config.Job, p rsbtbackup.VerifyProgress) {
	if b := w.bar(j.Name); b != nil {
		b.mu.Lock()
		b.read = &p
		b.mu.Unlock()
	}
}

// Copies updates the bar of a copy.
func (w *runWatcher) Copies(j config.Job, p rsbtbackup.CopyProgress) {
	if b := w.bar(j.Name); b != nil {
		b.mu.Lock()
		b.sent = &p
		b.mu.Unlock()
	}
}

// Ends reports a failure at once, with its reason, also with --quiet.
func (w *runWatcher) Ends(v jobs.Verdict) {
	w.mu.Lock()
	w.take(v.Job)
	held := w.held[v.Job]
	delete(w.held, v.Job)
	w.mu.Unlock()
	held.release(context.Background(), v.Err)
	switch {
	case v.Err != nil && v.Status == jobs.Stopped:
		w.u.log.Warn("stopped", "job", v.Job, "step", v.Step, "err", v.Err)
	case v.Err != nil:
		w.u.trouble(fmt.Sprintf("%s: %s: %s", v.Job, v.Step, message(v.Err)))
	default:
		w.u.log.Info("ended", "job", v.Job, "step", v.Step, "status", v.Status, "reason", v.Reason)
	}
	if v.Prune != nil {
		neverNull(v.Prune)
	}
	if err := w.u.object(stepObject{"step", v}); err != nil {
		w.u.note(err.Error())
	}
}

// Done is called when all steps of a job have ended.
func (w *runWatcher) Done(r jobs.Result) {
	w.unit.done(r.Job.Name, exitOf(r) == exitOK)
	w.others.done(r)
}

func (w *runWatcher) remove() {
	if w.screen == nil {
		return
	}
	w.screen.Wait()
	w.u.setBar(nil)
}

// jobBar is the line of one job.
type jobBar struct {
	label   string
	bar     *mpb.Bar
	started time.Time

	mu   sync.Mutex
	seen progressSeen
	read *rsbtbackup.VerifyProgress
	sent *rsbtbackup.CopyProgress
}

// Build makes it an mpb.BarFillerBuilder.
func (b *jobBar) Build() mpb.BarFiller { return mpb.BarFillerFunc(b.fill) }

// fill is called several times a second.
func (b *jobBar) fill(w io.Writer, s decor.Statistics) error {
	b.mu.Lock()
	seen, read, sent := b.seen, b.read, b.sent
	b.mu.Unlock()
	elapsed, width := time.Since(b.started), max(0, s.AvailableWidth-len(b.label)-2)
	line := progressLine(seen, elapsed, width)
	if read != nil {
		line = verifyProgressLine(*read, elapsed, width)
	}
	if sent != nil {
		line = copyProgressLine(*sent, elapsed, elapsed, width)
	}
	_, err := io.WriteString(w, b.label+"  "+line)
	return err
}
