package jobs

import (
	"bytes"
	"log/slog"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// tailLimit is how much of the log of each job is kept, for hooks and reports.
const tailLimit = 16 << 10

// tail is the end of the log of a job.
type tail struct {
	log *slog.Logger

	mu   sync.Mutex
	text []byte
}

func newTail() *tail {
	t := &tail{}
	t.log = slog.New(slog.NewTextHandler(t, &slog.HandlerOptions{Level: slog.LevelInfo}))
	return t
}

// Write adds a line.
func (t *tail) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, line...)
	if over := len(t.text) - tailLimit; over > 0 {
		if end := bytes.IndexByte(t.text[over:], '\n'); end >= 0 {
			over += end + 1
		}
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(line), nil
}

// String is the text: whole lines, the last 16 KiB.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// ended notes a verdict.
func (t *tail) ended(v Verdict) {
	switch {
	case v.Err != nil:
		t.log.Error("ended", "step", v.Step, "status", v.Status, "exit", v.Exit, "err", v.Error)
	case v.Reason != "":
		t.log.Info("ended", "step", v.Step, "status", v.Status, "reason", v.Reason)
	default:
		t.log.Info("ended", "step", v.Step, "status", v.Status)
	}
}

func newTails(jobs []config.Job) map[string]*tail {
	tails := make(map[string]*tail, len(jobs))
	for _, j := range jobs {
		tails[j.Name] = newTail()
	}
	return tails
}
