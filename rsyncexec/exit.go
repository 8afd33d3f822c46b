package rsyncexec

import (
	"fmt"
	"strings"
	"syscall"
)

// Exit codes of rsync(1), as of rsync 3.5.0. A child that was killed by a signal has no code; see ExitError.Signal.
const (
	ExitOK           = 0   // everything was transferred
	ExitSyntax       = 1   // rsync did not understand an option, or refused a host name
	ExitProtocol     = 2   // the two rsyncs do not understand each other; also a login shell that prints something
	ExitFileSelect   = 3   // source or destination cannot be used; also a destination symlink owned by somebody else
	ExitUnsupported  = 4   // one side cannot do what was asked (ACLs, xattrs, 64-bit files)
	ExitStartClient  = 5   // the daemon refused: unknown module, wrong password
	ExitLogFile      = 6   // a daemon could not append to its log
	ExitSocketIO     = 10  // no connection to the daemon, or lost; also a receiver killed midway
	ExitFileIO       = 11  // a write failed: no space left, quota exceeded, destination missing
	ExitStreamIO     = 12  // the stream broke: the remote shell or the other rsync died
	ExitDiagnostics  = 13  // rsync could not print its messages
	ExitIPC          = 14  // a pipe or fork failed inside rsync
	ExitSibling      = 15  // another process of the same rsync crashed
	ExitSiblingTerm  = 16  // another process of the same rsync was terminated
	ExitSignal1      = 19  // rsync got SIGUSR1
	ExitSignal       = 20  // rsync got SIGINT, SIGTERM or SIGHUP
	ExitWait         = 21  // waitpid failed inside rsync
	ExitMemory       = 22  // out of memory
	ExitPartial      = 23  // some files or attributes were not transferred; also metadata space running out
	ExitVanished     = 24  // some source files vanished while rsync ran; also the whole source
	ExitMaxDelete    = 25  // --max-delete stopped deletions
	ExitTimeout      = 30  // nothing moved for --timeout seconds
	ExitConnTimeout  = 35  // --contimeout: no connection to the daemon in time
	ExitRemoteFailed = 124 // the remote command failed
	ExitRemoteKilled = 125 // the remote command was killed
	ExitRemoteRun    = 126 // the remote command could not be run
	ExitRemoteAbsent = 127 // the remote shell, or rsync on the other host, was not found
	ExitShell        = 255 // ssh failed: name not resolved, connection refused, permission denied
)

// ExitName says in a few words what an exit code of rsync means, "unknown error" for one this package does not know.
func ExitName(code int) string {
	switch code {
	case ExitOK:
		return "success"
	case ExitSyntax:
		return "syntax or usage error"
	case ExitProtocol:
		return "protocol incompatibility"
	case ExitFileSelect:
		return "errors selecting input/output files"
	case ExitUnsupported:
		return "requested action not supported"
	case ExitStartClient:
		return "error starting client-server protocol"
	case ExitLogFile:
		return "daemon unable to append to log file"
	case ExitSocketIO:
		return "error in socket I/O"
	case ExitFileIO:
		return "error in file I/O"
	case ExitStreamIO:
		return "error in rsync protocol data stream"
	case ExitDiagnostics:
		return "errors with program diagnostics"
	case ExitIPC:
		return "error in IPC code"
	case ExitSibling:
		return "sibling process crashed"
	case ExitSiblingTerm:
		return "sibling process terminated abnormally"
	case ExitSignal1:
		return "received SIGUSR1"
	case ExitSignal:
		return "received SIGINT, SIGTERM, or SIGHUP"
	case ExitWait:
		return "error waiting for a child"
	case ExitMemory:
		return "error allocating memory"
	case ExitPartial:
		return "partial transfer"
	case ExitVanished:
		return "source files vanished"
	case ExitMaxDelete:
		return "deletion limit reached"
	case ExitTimeout:
		return "timeout in data send/receive"
	case ExitConnTimeout:
		return "timeout waiting for daemon connection"
	case ExitRemoteFailed:
		return "remote command failed"
	case ExitRemoteKilled:
		return "remote command killed"
	case ExitRemoteRun:
		return "remote command could not be run"
	case ExitRemoteAbsent:
		return "remote command not found"
	case ExitShell:
		return "remote shell failed"
	default:
		return "unknown error"
	}
}

// ExitError is how a started rsync failed. Code is its exit status, or -1 when Signal killed it. Complaints and Tail
// are those of Result.
type ExitError struct {
	Code       int
	Signal     syscall.Signal
	Complaints []string
	Tail       string
}

// Error is one line: the code by name, then what rsync first complained about, escaped as rsync printed it.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("rsync: %s (exit %d)", ExitName(e.Code), e.Code)
	if e.Signal != 0 {
		how = fmt.Sprintf("rsync: killed by signal %d (%s)", int(e.Signal), e.Signal)
	}
	if why := e.reason(); why != "" {
		return how + ": " + why
	}
	return how
}

// reason is the most telling line. When the connection failed that is what the remote shell said: rsync's own lines
// then only say that the connection closed.
func (e *ExitError) reason() string {
	if e.connection() {
		if line := e.shellSaid(); line != "" {
			return line
		}
	}
	for _, line := range e.Complaints {
		if !isSummary(line) {
			return cleanLine(line)
		}
	}
	if e.Code == ExitSyntax {
		// Errors in filter rules have no prefix. rsync prints them before it connects to the other side.
		for line := range strings.SplitSeq(e.Tail, "\n") {
			if line = cleanLine(line); line != "" && !isSummary(line) {
				return line
			}
		}
	}
	if len(e.Complaints) > 0 {
		return cleanLine(e.Complaints[0])
	}
	return ""
}

// shellSaid is the last line that the remote shell, or the command it ran, printed: banners and warnings come before
// the reason.
func (e *ExitError) shellSaid() string {
	said := ""
	for line := range strings.SplitSeq(e.Tail, "\n") {
		if line = cleanLine(line); line != "" && !complaint(line) && !isRemark(line) {
			said = line
		}
	}
	return said
}

// isRemark reports a line that is not a reason: a warning of ssh, its advice on the key exchange (OpenSSH 10.1), or a
// pointer to rsync's manual.
func isRemark(line string) bool {
	return strings.HasPrefix(line, "Warning: ") || strings.HasPrefix(line, "** ") || strings.HasPrefix(line, "(see the rsync man")
}

// isSummary reports rsync's last line, which only names the exit code.
func isSummary(line string) bool { return strings.HasPrefix(line, "rsync error:") }

func (e *ExitError) connection() bool {
	switch e.Code {
	case ExitProtocol, ExitStreamIO, ExitRemoteFailed, ExitRemoteKilled, ExitRemoteRun, ExitRemoteAbsent, ExitShell:
		return true
	default:
		return false
	}
}

// cleanLine makes a line of stderr safe for an error message: rsync escapes control characters, a remote shell does
// not.
func cleanLine(line string) string {
	line = strings.TrimSpace(line)
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\uFFFD' {
			return '?'
		}
		return r
	}, line)
}
