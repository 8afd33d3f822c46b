// A bar: one line on stderr while a verb works, only on a terminal, removed at the end. Other lines for stderr are
// shown above it.

package main

import (
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bar shows the state of the work. A nil bar shows nothing.
type bar[T any] struct {
	screen  *mpb.Progress
	bar     *mpb.Bar
	started time.Time
	line    func(seen T, elapsed time.Duration, width int) string

	mu   sync.Mutex
	seen T
}

// startBar returns nil if no bar is shown. line describes the state in at most width columns.
func startBar[T any](u *ui, line func(seen T, elapsed time.Duration, width int) string) *bar[T] {
	screen := newScreen(u)
	if screen == nil {
		return nil
	}
	b := &bar[T]{screen: screen, started: time.Now(), line: line}
	b.bar = screen.New(0, b, mpb.BarFillerTrim())
	return b
}

// change may be called from any goroutine.
func (b *bar[T]) change(next func(seen T) T) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = next(b.seen)
}

// Build makes it an mpb.BarFillerBuilder.
func (b *bar[T]) Build() mpb.BarFiller { return mpb.BarFillerFunc(b.fill) }

// fill is called several times a second.
func (b *bar[T]) fill(w io.Writer, s decor.Statistics) error {
	b.mu.Lock()
	seen := b.seen
	b.mu.Unlock()
	_, err := io.WriteString(w, b.line(seen, time.Since(b.started), s.AvailableWidth))
	return err
}

// remove removes the bar from the screen and from u; a second call does nothing.
func (b *bar[T]) remove(u *ui) {
	if b == nil || b.bar.Aborted() {
		return
	}
	b.bar.Abort(true)
	b.screen.Wait()
	u.setBar(nil)
}
