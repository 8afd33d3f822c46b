package rsyncexec

import (
	"strconv"
	"strings"
)

// Stats is what --stats reports. The first eight fields count files (of any kind unless named), the others bytes.
// Specials are fifos and sockets. Sent and Received are what went through the connection.
type Stats struct {
	Files        int64 `json:"files"`
	RegularFiles int64 `json:"regular_files"`
	Directories  int64 `json:"directories"`
	Symlinks     int64 `json:"symlinks"`
	Devices      int64 `json:"devices"`
	Specials     int64 `json:"specials"`
	Created      int64 `json:"created"`
	Deleted      int64 `json:"deleted"`
	Transferred  int64 `json:"transferred"` // regular files

	TotalSize       int64 `json:"total_size"`
	TransferredSize int64 `json:"transferred_size"`
	Literal         int64 `json:"literal"`
	Matched         int64 `json:"matched"`
	Sent            int64 `json:"sent"`
	Received        int64 `json:"received"`
}

// statsFirst opens the block of statistics.
const statsFirst = "Number of files: "

// ParseStats reads the last block of statistics in text, as rsync 3.1 and later print it with --stats,
// --no-human-readable and LC_ALL=C. It is false when there is none or when it is cut off.
func ParseStats(text string) (Stats, bool) {
	start := strings.LastIndex("\n"+text, "\n"+statsFirst)
	if start < 0 {
		return Stats{}, false
	}
	var s Stats
	seen := map[string]bool{}
	for line := range strings.SplitSeq(text[start:], "\n") {
		name, value, ok := strings.Cut(strings.TrimRight(line, " \r"), ": ")
		if !ok {
			continue
		}
		field, known := s.field(name)
		if !known {
			continue
		}
		if !parseStat(&s, name, value, field) {
			return Stats{}, false
		}
		seen[name] = true
	}
	for _, name := range []string{"Number of files", "Total file size", "Total bytes sent", "Total bytes received"} {
		if !seen[name] {
			return Stats{}, false
		}
	}
	return s, true
}

// field is where a line of the block belongs; nil for lines that are part of it but not kept.
func (s *Stats) field(name string) (field *int64, known bool) {
	switch name {
	case "Number of files":
		return &s.Files, true
	case "Number of created files":
		return &s.Created, true
	case "Number of deleted files":
		return &s.Deleted, true
	case "Number of regular files transferred":
		return &s.Transferred, true
	case "Total file size":
		return &s.TotalSize, true
	case "Total transferred file size":
		return &s.TransferredSize, true
	case "Literal data":
		return &s.Literal, true
	case "Matched data":
		return &s.Matched, true
	case "Total bytes sent":
		return &s.Sent, true
	case "Total bytes received":
		return &s.Received, true
	case "File list size", "File list generation time", "File list transfer time":
		return nil, true
	default:
		return nil, false
	}
}

// parseStat reads "301", "301 bytes" or "303 (reg: 301, dir: 1)".
func parseStat(s *Stats, name, value string, field *int64) bool {
	if field == nil {
		return true
	}
	number, rest, _ := strings.Cut(value, " ")
	n, ok := parseCount(number)
	if !ok {
		return false
	}
	*field = n
	if name != "Number of files" || rest == "" {
		return true
	}
	return s.parseKinds(rest)
}

// parseKinds reads "(reg: 301, dir: 1, link: 1, dev: 2, special: 3)"; kinds that do not occur are left out by rsync.
func (s *Stats) parseKinds(text string) bool {
	text, opened := strings.CutPrefix(text, "(")
	text, closed := strings.CutSuffix(text, ")")
	if !opened || !closed {
		return false
	}
	for part := range strings.SplitSeq(text, ", ") {
		kind, number, _ := strings.Cut(part, ": ")
		n, ok := parseCount(number)
		if !ok {
			return false
		}
		switch kind {
		case "reg":
			s.RegularFiles = n
		case "dir":
			s.Directories = n
		case "link":
			s.Symlinks = n
		case "dev":
			s.Devices = n
		case "special":
			s.Specials = n
		}
	}
	return true
}

// parseCount reads plain decimal digits: no sign, no separators, no overflow.
func parseCount(digits string) (int64, bool) {
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// statsLine reports whether a line of stdout belongs to the block that --stats prints. The block is the last thing
// rsync prints and is read from its last beginning.
func statsLine(line string) bool {
	name, _, ok := strings.Cut(line, ": ")
	if ok {
		var s Stats
		_, known := s.field(name)
		return known
	}
	return strings.HasPrefix(line, "sent ") && strings.HasSuffix(line, " bytes/sec") ||
		strings.HasPrefix(line, "total size is ") && strings.Contains(line, "  speedup is ")
}
