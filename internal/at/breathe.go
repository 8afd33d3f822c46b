package at

import (
	"runtime"
	"time"
)

// Breathe belongs into a loop of system calls, and is given what it returned last. When Go's monitor thread sees the
// same goroutine for 10 ms (1.26), it takes the processor from it in its next system call, and looks 50 times in the
// millisecond after that: on two processors these threads take turns with who does the work. So the goroutine lets
// others run earlier. It should be one that no thread is bound to: see Aside.
func Breathe(last time.Time) time.Time {
	now := time.Now()
	if now.Sub(last) < breath {
		return last
	}
	runtime.Gosched()
	return now
}

const breath = 5 * time.Millisecond

// Aside runs f in a goroutine that no thread is bound to, as the command's main goroutine is: each time that one has to
// wait for another, or makes a break, the kernel has to switch threads twice. A panic of f is one of the caller.
func Aside(f func() error) (err error) {
	var thrown any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { thrown = recover() }()
		err = f()
	}()
	<-done
	if thrown != nil {
		panic(thrown)
	}
	return err
}
