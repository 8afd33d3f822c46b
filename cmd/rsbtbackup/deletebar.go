// The progress of deleting: one line on stderr, on a terminal only, gone when
// it is done.

package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

type deleteBar struct {
	screen  *mpb.Progress
	bar     *mpb.Bar
	started time.Time

	done, total atomic.Int64
}

// startDeleteBar returns nil where no bar belongs.
func startDeleteBar(u *ui) *deleteBar {
	screen := newScreen(u)
	if screen == nil {
		return nil
	}
	b := &deleteBar{screen: screen, started: time.Now()}
	b.bar = screen.New(0, b, mpb.BarFillerTrim())
	return b
}

// update may be called from any goroutine.
func (b *deleteBar) update(done, total int) {
	if b == nil {
		return
	}
	b.done.Store(int64(done))
	b.total.Store(int64(total))
}

// Build makes it an mpb.BarFillerBuilder.
func (b *deleteBar) Build() mpb.BarFiller { return mpb.BarFillerFunc(b.fill) }

// fill is called several times a second.
func (b *deleteBar) fill(w io.Writer, s decor.Statistics) error {
	_, err := io.WriteString(w, deleteLine(b.done.Load(), b.total.Load(), time.Since(b.started), s.AvailableWidth))
	return err
}

// remove takes the bar off the screen and gives it back to u; the second time
// it does nothing.
func (b *deleteBar) remove(u *ui) {
	if b == nil || b.bar.Aborted() {
		return
	}
	b.bar.Abort(true)
	b.screen.Wait()
	u.setBar(nil)
}

// deleteLine is what fits into width. Before the first deletion, and while
// space is waited for, only the time moves.
func deleteLine(done, total int64, elapsed time.Duration, width int) string {
	switch {
	case done == 0 && total == 0:
		return fit(width, spinner(elapsed)+" deleting", clock(elapsed))
	case total == 0:
		return fit(width, spinner(elapsed)+" "+plural(done, "backup")+" deleted, waiting for space", clock(elapsed))
	case done >= total:
		return fit(width, spinner(elapsed)+" "+plural(done, "backup")+" deleted", clock(elapsed))
	}
	line := fit(width, fmt.Sprintf("%s of %s deleted", count(done), plural(total, "backup")), clock(elapsed))
	if room := width - len(line) - 4; room >= 10 {
		line = gauge(int(done*100/total), min(room, 30)) + " " + line
	}
	return line
}
