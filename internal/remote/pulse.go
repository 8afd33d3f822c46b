package remote

import (
	"context"
	"io"
	"sync"
	"time"
)

// Pulse is the other end of a session. While it is at work, it says from time to time that it is alive; not while it
// waits for input.
type Pulse struct {
	r io.Reader
	w io.Writer

	mu    sync.Mutex
	still bool
	beats bool
}

// NewPulse is quiet until Beat. What is written to it in one call stays together.
func NewPulse(r io.Reader, w io.Writer) *Pulse { return &Pulse{r: r, w: w} }

func (p *Pulse) Read(b []byte) (int, error) {
	p.Still(true)
	defer p.Still(false)
	return p.r.Read(b)
}

func (p *Pulse) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.w.Write(b)
}

// Still has it say nothing, or go on: where something longer than one call is written.
func (p *Pulse) Still(still bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = still
}

// Beat begins, once, and ends with ctx.
func (p *Pulse) Beat(ctx context.Context, every time.Duration, line string) {
	if p.beats {
		return
	}
	p.beats = true
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.beat(ctx, line)
			}
		}
	}()
}

func (p *Pulse) beat(ctx context.Context, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.still && ctx.Err() == nil {
		_, _ = io.WriteString(p.w, line) // who does not hear it is not helped by an error
	}
}
