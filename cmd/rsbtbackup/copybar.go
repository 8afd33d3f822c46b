// The progress of copy: as that of verify, one line on a terminal.

package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

type copyBar struct {
	screen  *mpb.Progress
	bar     *mpb.Bar
	started time.Time

	mu    sync.Mutex
	seen  rsbtbackup.CopyProgress
	since time.Time // Backup began
}

// startCopyBar returns nil where no bar belongs.
func startCopyBar(u *ui) *copyBar {
	screen := newScreen(u)
	if screen == nil {
		return nil
	}
	b := &copyBar{screen: screen, started: time.Now()}
	b.bar = screen.New(0, b, mpb.BarFillerTrim())
	return b
}

func (b *copyBar) update(p rsbtbackup.CopyProgress) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Backup != b.seen.Backup {
		b.since = time.Now()
	}
	b.seen = p
}

// Build makes it an mpb.BarFillerBuilder.
func (b *copyBar) Build() mpb.BarFiller { return mpb.BarFillerFunc(b.fill) }

func (b *copyBar) fill(w io.Writer, s decor.Statistics) error {
	b.mu.Lock()
	seen, since := b.seen, b.since
	b.mu.Unlock()
	_, err := io.WriteString(w, copyProgressLine(seen, time.Since(since), time.Since(b.started), s.AvailableWidth))
	return err
}

func (b *copyBar) remove(u *ui) {
	if b == nil {
		return
	}
	b.bar.Abort(true)
	b.screen.Wait()
	u.setBar(nil)
}

// copyProgressLine has no percentage: nobody knows how long a stream will be.
func copyProgressLine(p rsbtbackup.CopyProgress, sending, elapsed time.Duration, width int) string {
	if p.Backups == 0 {
		return fit(width, spinner(elapsed)+" comparing", clock(elapsed))
	}
	rate := "?"
	if s := sending.Seconds(); s > 0 {
		rate = size(int64(float64(p.Bytes)/s)) + "/s"
	}
	which := p.Backup
	if p.Backups > 1 {
		which = fmt.Sprintf("%s (%d/%d)", p.Backup, p.Index+1, p.Backups)
	}
	return fit(width, spinner(elapsed)+" "+size(int64(p.Bytes)), rate, which, clock(elapsed))
}
