package rsyncexec

import (
	"strconv"
	"strings"
)

// Change is one entry that rsync changes. Code is that of rsync(1) under --itemize-changes, such as ">f.st......", or
// "*deleting". Path is relative to the destination, byte for byte; that of a directory ends in a slash.
type Change struct {
	Code string
	Path string
}

const (
	// changePrefix is the beginning of no message of rsync, so that a file name is not mistaken for a message, or a
	// message for a change.
	changePrefix = "change: "
	changeFormat = changePrefix + "%i %n"
	changeWidth  = 11 // of a code
)

// ParseChange reads a line such as
//
//	change: >f+++++++++ etc/passwd
//	change: *deleting   etc/old\#012name
//
// It is false for any other line.
func ParseChange(line string) (Change, bool) {
	line, ok := strings.CutPrefix(line, changePrefix)
	if !ok || len(line) < changeWidth+2 || line[changeWidth] != ' ' || strings.IndexByte("<>ch.*", line[0]) < 0 {
		return Change{}, false
	}
	code := strings.TrimRight(line[:changeWidth], " ")
	if strings.Contains(code, " ") {
		return Change{}, false
	}
	return Change{Code: code, Path: Unescape(line[changeWidth+1:])}, true
}

// ParseSkipped reads the path in a line such as
//
//	skipping non-regular file "dev/null"
//
// which is all that rsync prints, with exit code 0, about a device that it may not create: an existing file in its
// place is kept. It is false for any other line.
func ParseSkipped(line string) (path string, ok bool) {
	path, ok = strings.CutPrefix(line, `skipping non-regular file "`)
	if !ok {
		return "", false
	}
	path, ok = strings.CutSuffix(path, `"`)
	return Unescape(path), ok
}

// ParseBlocked reads the path in a line such as
//
//	could not make way for new regular file: etc/old
//
// which rsync prints about a directory that it could not empty. It is false for any other line.
func ParseBlocked(line string) (path string, ok bool) {
	line, ok = strings.CutPrefix(line, "could not make way for new ")
	if !ok {
		return "", false
	}
	_, path, ok = strings.Cut(line, ": ")
	return Unescape(path), ok
}

// NanoProtocol is the first version of rsync's protocol (3.1.0) in which times have fractions of seconds.
const NanoProtocol = 31

// ParseProtocol reads the version of the protocol that the two ends agreed on, in a line such as
//
//	(Client) Protocol versions: remote=30, negotiated=30
//
// It is false for any other line.
func ParseProtocol(line string) (version int, ok bool) {
	text, ok := strings.CutPrefix(line, "(Client) Protocol versions: remote=")
	if !ok {
		return 0, false
	}
	_, text, ok = strings.Cut(text, ", negotiated=")
	version, err := strconv.Atoi(text)
	return version, ok && err == nil && version > 0
}

// Unescape reverses the escapes in names that rsync prints: every byte that is not printable in the C locale, and a
// backslash that would be mistaken for such an escape, is written as \#ooo, in octal.
func Unescape(name string) string {
	if !strings.Contains(name, `\#`) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if c, ok := octal(name[i:]); ok {
			b.WriteByte(c)
			i += len(`\#ooo`) - 1
			continue
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

func octal(s string) (byte, bool) {
	if len(s) < 5 || s[:2] != `\#` {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[2:5]) {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n*8 + int(c-'0')
	}
	return byte(n), n < 256
}
