package rsyncexec

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Progress is one line of --info=progress2. Lines printed while a file is being sent carry ETA, lines printed after a
// file carry Elapsed, Transferred, ToCheck and Total; fields that a line does not carry are zero.
type Progress struct {
	Bytes       int64         // of the files processed so far, matched or sent
	Percent     int           // 0..100, of the size of all files known so far
	Rate        float64       // bytes per second
	ETA         time.Duration // whole seconds
	Elapsed     time.Duration // whole seconds
	Transferred int64         // files sent so far
	ToCheck     int64         // files still to be looked at
	Total       int64         // files known so far
	Scanning    bool          // rsync is still reading the source, Total will grow
	Expected    int64         // rough number of files, if the caller has counted; not from rsync
}

// ParseProgress reads a line such as
//
//	3000000  33%    1.93MB/s    0:00:01 (xfr#1, to-chk=0/304)
//
// as printed with LC_ALL=C and --no-human-readable. It is false for any other line.
func ParseProgress(line string) (Progress, bool) {
	line, tail, counted := strings.Cut(line, "(")
	fields := strings.Fields(line)
	if len(fields) != 4 {
		return Progress{}, false
	}
	var p Progress
	var ok [4]bool
	var clock time.Duration
	p.Bytes, ok[0] = parseCount(fields[0])
	p.Percent, ok[1] = parsePercent(fields[1])
	p.Rate, ok[2] = parseRate(fields[2])
	clock, ok[3] = parseClock(fields[3])
	if ok != [4]bool{true, true, true, true} {
		return Progress{}, false
	}
	if !counted {
		p.ETA = clock
		return p, true
	}
	p.Elapsed = clock
	return p, p.parseCounts(tail)
}

// parseCounts reads "xfr#1, to-chk=0/304)"; "ir-chk" instead while the source is still being read.
func (p *Progress) parseCounts(text string) bool {
	text, closed := strings.CutSuffix(strings.TrimRight(text, " "), ")")
	xfr, chk, both := strings.Cut(text, ", ")
	xfr, hasXfr := strings.CutPrefix(xfr, "xfr#")
	how, ratio, hasChk := strings.Cut(chk, "-chk=")
	todo, total, hasTotal := strings.Cut(ratio, "/")
	if !closed || !both || !hasXfr || !hasChk || !hasTotal || how != "to" && how != "ir" {
		*p = Progress{}
		return false
	}
	var ok [3]bool
	p.Scanning = how == "ir"
	p.Transferred, ok[0] = parseCount(xfr)
	p.ToCheck, ok[1] = parseCount(todo)
	p.Total, ok[2] = parseCount(total)
	if ok != [3]bool{true, true, true} || p.ToCheck > p.Total {
		*p = Progress{}
		return false
	}
	return true
}

func parsePercent(text string) (int, bool) {
	digits, ok := strings.CutSuffix(text, "%")
	n, isNumber := parseCount(digits)
	if !ok || !isNumber {
		return 0, false
	}
	return int(min(n, 100)), true // a file that grows while it is read gives more than 100
}

// parseRate reads "114.44MB/s"; rsync's units are powers of 1024.
func parseRate(text string) (float64, bool) {
	units := []struct {
		suffix string
		bytes  float64
	}{{"kB/s", 1 << 10}, {"MB/s", 1 << 20}, {"GB/s", 1 << 30}, {"TB/s", 1 << 40}}
	for _, unit := range units {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		if strings.Trim(number, "0123456789.") != "" {
			return 0, false
		}
		rate, err := strconv.ParseFloat(number, 64)
		rate *= unit.bytes
		return rate, err == nil && !math.IsInf(rate, 0)
	}
	return 0, false
}

// parseClock reads "1:02:03", hours first and not padded, and "??:??:??" for unknown.
func parseClock(text string) (time.Duration, bool) {
	if text == "??:??:??" {
		return 0, true
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0, false
	}
	var n [3]int64
	for i, part := range parts {
		var ok bool
		if n[i], ok = parseCount(part); !ok {
			return 0, false
		}
	}
	const tooManyHours = 1_000_000 // a century; keeps the sum far from overflow
	if n[0] > tooManyHours || n[1] > 59 || n[2] > 59 {
		return 0, false
	}
	return time.Duration(n[0])*time.Hour + time.Duration(n[1])*time.Minute + time.Duration(n[2])*time.Second, true
}
