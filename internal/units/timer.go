package units

import (
	"fmt"
	"strings"
	"time"
)

// Timer is the text of the timer.
func (s Started) Timer() string {
	var b strings.Builder
	fmt.Fprintln(&b, Marker(s.Name))
	fmt.Fprintf(&b, "[Unit]\nDescription=When %s is started\n", s.Name)
	fmt.Fprintln(&b, "Documentation=man:rsbtbackup(8)")
	fmt.Fprintf(&b, "\n[Timer]\nOnCalendar=%s\n", s.On)
	if d := s.delay(); d > 0 {
		fmt.Fprintf(&b, "RandomizedDelaySec=%d\nFixedRandomDelay=true\n", int64((d+time.Second-1)/time.Second))
	}
	fmt.Fprintln(&b, "# What was missed while the machine was off is made up for.")
	fmt.Fprintln(&b, "Persistent=true")
	fmt.Fprintln(&b, "\n[Install]\nWantedBy=timers.target")
	return b.String()
}
