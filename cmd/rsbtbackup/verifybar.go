// The progress bar of verify: as that of backup, one line on a terminal.

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

type verifyBar struct {
	screen  *mpb.Progress
	bar     *mpb.Bar
	started time.Time

	mu   sync.Mutex
	seen rsbtbackup.VerifyProgress
}

// startVerifyBar returns nil where no bar belongs.
func startVerifyBar(u *ui) *verifyBar {
	screen := newScreen(u)
	if screen == nil {
		return nil
	}
	b := &verifyBar{screen: screen, started: time.Now()}
	b.bar = screen.New(0, b, mpb.BarFillerTrim())
	return b
}

func (b *verifyBar) update(p rsbtbackup.VerifyProgress) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = p
}

// Build makes it an mpb.BarFillerBuilder.
func (b *verifyBar) Build() mpb.BarFiller { return mpb.BarFillerFunc(b.fill) }

func (b *verifyBar) fill(w io.Writer, s decor.Statistics) error {
	b.mu.Lock()
	seen := b.seen
	b.mu.Unlock()
	_, err := io.WriteString(w, verifyProgressLine(seen, time.Since(b.started), s.AvailableWidth))
	return err
}

func (b *verifyBar) remove(u *ui) {
	if b == nil {
		return
	}
	b.bar.Abort(true)
	b.screen.Wait()
	u.setBar(nil)
}

// verifyProgressLine shows a percentage where it is known how much there is:
// for a backup that is read whole, of which rsync has counted the bytes.
func verifyProgressLine(p rsbtbackup.VerifyProgress, elapsed time.Duration, width int) string {
	if p.Backups == 0 {
		return fit(width, spinner(elapsed)+" reading", clock(elapsed))
	}
	rate := "?"
	if s := elapsed.Seconds(); s > 0 {
		rate = size(int64(float64(p.Bytes)/s)) + "/s"
	}
	which := p.Backup
	if p.Backups > 1 {
		which = fmt.Sprintf("%s (%d/%d)", p.Backup, p.Index+1, p.Backups)
	}
	done := spinner(elapsed)
	if p.Total > 0 {
		done = fmt.Sprintf("%3d%%", min(100, p.Bytes*100/p.Total))
	}
	return fit(width, done+" "+size(p.Bytes), rate, which, count(p.Files)+" files", clock(elapsed))
}
