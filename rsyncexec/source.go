package rsyncexec

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Kind says how rsync reaches a source.
type Kind int

const (
	Local  Kind = iota // a path on this machine
	Shell              // through a remote shell: host:path
	Daemon             // an rsync daemon: host::module/path, rsync://host/module/path
)

// Source is where files come from. Path is the path as the user wrote it, without wildcard meaning; for a Daemon it is
// the path inside Module. Host is without brackets, also an IPv6 address. Port is "" or decimal, Daemon only.
type Source struct {
	Kind   Kind
	User   string
	Host   string
	Port   string
	Module string
	Path   string
}

// ErrSource is what every error of ParseSource matches.
var ErrSource = errors.New("not a usable source")

func sourceError(s, reason string) error {
	return fmt.Errorf("source %q: %w: %s", s, ErrSource, reason)
}

// ParseSource reads a source in any of rsync's forms: a local path, [user@]host:path, [user@]host::module[/path],
// rsync://[user@]host[:port]/module[/path]; an IPv6 host is in brackets. As in rsync a colon before any slash makes a
// source remote, so a local a:b is written ./a:b. A local path may hold any byte but NUL.
//
// Stricter than rsync, because host and user become arguments of ssh: a user is made of letters, digits, ".-_+", a host
// of letters, digits, ".-_" (in brackets: an IPv6 address, with or without zone); neither may begin with "-".
// "host:~name/path" is refused, because whether it is expanded depends on rsync's version; "~/path" is the same as
// "path".
func ParseSource(s string) (Source, error) {
	switch {
	case s == "":
		return Source{}, sourceError(s, "it is empty")
	case strings.ContainsRune(s, 0):
		return Source{}, sourceError(s, "it contains a NUL byte")
	case len(s) >= 8 && strings.EqualFold(s[:8], "rsync://"):
		return parseURL(s)
	}
	head, path, remote := cutHost(s)
	if !remote {
		return Source{Kind: Local, Path: s}, nil
	}
	src := Source{Kind: Shell}
	if err := src.setUserHost(s, head); err != nil {
		return Source{}, err
	}
	if rest, daemon := strings.CutPrefix(path, ":"); daemon {
		return src.daemon(s, rest)
	}
	return src.shell(s, path)
}

// cutHost splits at the colon that makes s remote: the first one, when no slash comes before it. A bracketed host may
// hold colons itself.
func cutHost(s string) (head, path string, remote bool) {
	at := 0
	if user, _, ok := strings.Cut(s, "@"); ok && strings.HasPrefix(s[len(user)+1:], "[") {
		at = len(user) + 1
	}
	if strings.HasPrefix(s[at:], "[") {
		if end := strings.Index(s[at:], "]:"); end > 0 && !strings.Contains(s[:at+end], "/") {
			return s[:at+end+1], s[at+end+2:], true
		}
	}
	colon := strings.IndexByte(s, ':')
	if colon < 0 || strings.Contains(s[:colon], "/") {
		return "", "", false
	}
	return s[:colon], s[colon+1:], true
}

func parseURL(s string) (Source, error) {
	authority, path, _ := strings.Cut(s[8:], "/")
	src := Source{Kind: Daemon}
	host := authority
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.Contains(authority[i:], "]") {
		host, src.Port = authority[:i], authority[i+1:]
		if port, err := strconv.ParseUint(src.Port, 10, 16); err != nil || port == 0 || src.Port[0] == '+' {
			return Source{}, sourceError(s, "the port is not a number from 1 to 65535")
		}
	}
	if err := src.setUserHost(s, host); err != nil {
		return Source{}, err
	}
	return src.daemon(s, path)
}

// setUserHost checks "user@host" or "host".
func (src *Source) setUserHost(s, head string) error {
	host := head
	if i := strings.LastIndexByte(head, '@'); i >= 0 {
		src.User, host = head[:i], head[i+1:]
		if !plainName(src.User, ".-_+") {
			return sourceError(s, "the user name is empty, begins with \"-\" or has characters other than letters, digits and .-_+")
		}
	}
	inner, bracket := strings.CutPrefix(host, "[")
	if bracket {
		inner, bracket = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !bracket || err != nil || !addr.Is6() || !plainName(inner, ".-_:%") {
			return sourceError(s, "the host in brackets is not an IPv6 address")
		}
		src.Host = inner
		return nil
	}
	if !plainName(host, ".-_") {
		return sourceError(s, "the host name is empty, begins with \"-\" or has characters other than letters, digits and .-_ (write ./name for a local path with a colon)")
	}
	src.Host = host
	return nil
}

func (src Source) shell(s, path string) (Source, error) {
	if rest, home := strings.CutPrefix(path, "~"); home {
		if rest != "" && rest[0] != '/' {
			return Source{}, sourceError(s, "~name is not supported; write the absolute path, or ./~name")
		}
		path = strings.TrimLeft(rest, "/")
		if path != "" && (path[0] == '~' || path[0] == ':') {
			path = "./" + path
		}
	}
	src.Path = path
	return src, nil
}

func (src Source) daemon(s, path string) (Source, error) {
	src.Kind = Daemon
	src.Module, src.Path, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
	if src.Module == "" {
		return Source{}, sourceError(s, "no module of the daemon is given")
	}
	if src.Module[0] == '-' || strings.ContainsFunc(src.Module, func(r rune) bool { return r < 0x20 || r == 0x7f }) ||
		strings.ContainsAny(src.Module, `*?[\`) {
		return Source{}, sourceError(s, "the module begins with \"-\" or has control or wildcard characters")
	}
	return src, nil
}

func plainName(name, extra string) bool {
	if name == "" || name[0] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}

// Operand is the source as an operand of rsync: always with a trailing "/", so that the contents of the directory are
// copied and not the directory itself; never beginning with "-". Wildcards of a remote path are escaped, since a remote
// rsync expands them. A Local path must have been made absolute before.
func (src Source) Operand() string {
	switch src.Kind {
	case Shell:
		return src.authority() + ":" + remotePath(src.Path)
	case Daemon:
		inside := daemonPath(src.Path)
		if src.Port != "" {
			return "rsync://" + src.authority() + ":" + src.Port + "/" + src.Module + "/" + inside
		}
		return src.authority() + "::" + src.Module + "/" + inside
	default:
		return withSlash(src.Path)
	}
}

// String is the source as a user writes it; ParseSource of it gives the same Source.
func (src Source) String() string {
	switch src.Kind {
	case Shell:
		return src.authority() + ":" + src.Path
	case Daemon:
		s := src.authority() + "::" + src.Module
		if src.Port != "" {
			s = "rsync://" + src.authority() + ":" + src.Port + "/" + src.Module
		}
		if src.Path != "" {
			s += "/" + src.Path
		}
		return s
	default:
		return src.Path
	}
}

func (src Source) authority() string {
	host := src.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if src.User != "" {
		return src.User + "@" + host
	}
	return host
}

// remotePath keeps a relative path from being read as an option or as a home directory by an old rsync or a shell. An
// empty path is the home directory: with only a slash added it would be the root.
func remotePath(path string) string {
	switch {
	case path == "":
		path = "./"
	case path[0] == '-' || path[0] == '~' || path[0] == ':':
		path = "./" + path
	}
	return escapeWildcards(withSlash(path))
}

// daemonPath is the path inside a module. The daemon strips the module's name and reads the rest like a command line:
// "host::module/-n" is the option -n to rsync 3.5.0.
func daemonPath(path string) string {
	path = strings.TrimLeft(withSlash(path), "/")
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return escapeWildcards(path)
}

func withSlash(path string) string {
	if strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// CheckDest refuses a remote source as a destination when its path has wildcards. The other rsync expands them, escaped
// or not, to whatever matches; if nothing does, it creates a directory of that name with the escapes in it (rsync
// 3.5.0).
func (src Source) CheckDest() error {
	if src.Kind != Local && strings.ContainsAny(src.Path, wildcards) {
		return fmt.Errorf("remote destination %q: the remote rsync would expand the characters %s in it", src.String(), wildcards)
	}
	return nil
}

const wildcards = "*?["

// escapeWildcards makes the remote rsync's expansion find exactly this path. It expands component by component, and
// takes a backslash as an escape only in those components that have a wildcard (rsync 3.5.0, shell and daemon).
func escapeWildcards(path string) string {
	if !strings.ContainsAny(path, wildcards) {
		return path
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.ContainsAny(part, wildcards) {
			parts[i] = escaper.Replace(part)
		}
	}
	return strings.Join(parts, "/")
}

var escaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)

// needsSecludedArgs reports whether the remote path has characters that are special to a shell. Such a path is sent
// through the protocol (-s). Other paths are not, because rrsync, which often restricts a backup account, refuses -s,
// and no version needs it for them.
func (src Source) needsSecludedArgs() bool {
	return src.Kind == Shell && strings.ContainsFunc(src.Path, func(r rune) bool {
		return !strings.ContainsRune("/._-+,:@%=", r) && !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}
