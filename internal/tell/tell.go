package tell

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// Options are those of New.
type Options struct {
	Host  string // the name of this machine
	Agent string // User-Agent
	Exit  func(jobs.Result) int
	Log   func(config.Job) *slog.Logger
	Now   func() time.Time
	Pause time.Duration // before the second try; 0: a second
	Last  time.Duration // the time for sending after the run was stopped and the jobs ended; 0: 3 seconds
}

// atOnce is how many servers get requests at the same time.
const atOnce = 16

// Teller reports to the servers of jobs. It does not delay jobs: Wait waits for the requests.
type Teller struct {
	Options
	sender sender
	ctx    context.Context // of requests
	stop   context.Context // of further tries
	cancel context.CancelCauseFunc
	places chan struct{}

	work sync.WaitGroup
	mu   sync.Mutex
	runs map[string]string   // by job: the ID that its start and its end share
	last map[string]*message // by job and server: the message before
}

// message is one that is being sent.
type message struct {
	hurry context.CancelFunc // no further try
	done  chan struct{}
}

// New returns a teller for a run. When run is cancelled, nothing is tried again.
func New(run context.Context, o Options) *Teller {
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.Last == 0 {
		o.Last = 3 * time.Second
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(run))
	return &Teller{
		Options: o, sender: sender{newClient(), o.Agent, o.Pause}, ctx: ctx, cancel: cancel, stop: run,
		places: make(chan struct{}, atOnce), runs: map[string]string{}, last: map[string]*message{},
	}
}

// Starts reports that the backup of a job begins.
func (t *Teller) Starts(j config.Job) {
	t.tell(j, started(j, t.Host, t.Now()))
}

// Done reports the result of a job.
func (t *Teller) Done(r jobs.Result) {
	if m, ok := ended(r, t.Exit(r), t.Host); ok {
		t.tell(r.Job, m)
	}
}

// Wait returns when all reports were sent or have failed. It is called when all jobs have ended; if the run was
// stopped, a few seconds are left.
func (t *Teller) Wait() {
	all := make(chan struct{})
	go func() {
		t.work.Wait()
		close(all)
	}()
	defer t.cancel(nil)
	select {
	case <-all:
		return
	case <-t.stop.Done():
	}
	select {
	case <-all:
	case <-time.After(t.Last):
		t.cancel(context.Cause(t.stop))
		<-all
	}
}

// run is the ID that the start and the end of a job share: a UUID, as healthchecks.io requires.
func (t *Teller) run(job string) string {
	if t.runs[job] == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails, see its documentation
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		t.runs[job] = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	}
	return t.runs[job]
}

// tell begins to send. Messages of one job to one server are sent one after the other.
func (t *Teller) tell(j config.Job, m config.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, err := requests(j, m, t.run(j.Name))
	if err != nil {
		t.Log(j).Warn("no report was sent", "event", m.Event, "err", err)
	}
	for _, r := range all {
		place := j.Name + "\x00" + r.key
		before := t.last[place]
		hurry, cancel := context.WithCancel(t.stop)
		this := &message{cancel, make(chan struct{})}
		t.last[place] = this
		t.work.Go(func() {
			defer close(this.done)
			defer cancel()
			if before != nil {
				before.hurry() // the next message is more recent
				<-before.done
			}
			t.places <- struct{}{}
			defer func() { <-t.places }()
			if err := t.sender.send(t.ctx, hurry, r); err != nil {
				t.Log(j).Warn("a report was not sent", "event", m.Event, "key", r.key, "url", r.url.String(), "err", err)
			}
		})
	}
}
