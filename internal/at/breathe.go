package at

import (
	"runtime"
	"time"
)

// Breathe belongs into a loop of system calls, and is given what it returned last. When Go's monitor thread sees the
// same goroutine for 10 ms (1.26), it takes the processor from it in its next system call, and looks 50 times in the
// millisecond after that: on two processors these threads take turns with who does the work. So the goroutine lets
// others run earlier. It should be one that no thread is bound to, as the command's main goroutine is: for each break
// that one makes, the kernel has to switch threads twice.
func Breathe(last time.Time) time.Time {
	now := time.Now()
	if now.Sub(last) < breath {
		return last
	}
	runtime.Gosched()
	return now
}

const breath = 5 * time.Millisecond
