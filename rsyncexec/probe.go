package rsyncexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Why rsync could not be started. Each comes wrapped in an error that names the program.
var (
	ErrNotFound      = errors.New("rsync is not installed")
	ErrNotExecutable = errors.New("rsync is not executable")
	ErrRelative      = errors.New("rsync would be found relative to the working directory")
	ErrNotRsync      = errors.New("not a working rsync")
	ErrTooOld        = errors.New("rsync is too old")
)

// Probe finds rsync as Options.Program describes it and asks for its version. It fails with ErrNotFound,
// ErrNotExecutable, ErrRelative, ErrNotRsync or ErrTooOld, or with the context's cause.
func Probe(ctx context.Context, program string) (path string, v Version, err error) {
	path, err = lookup(program)
	if err != nil {
		return "", Version{}, err
	}
	v, err = usableVersion(ctx, path)
	return path, v, err
}

// usableVersion fails with ErrTooOld, beside the version, or without one as askVersion does.
func usableVersion(ctx context.Context, path string) (Version, error) {
	v, err := askVersion(ctx, path)
	if err != nil {
		return Version{}, err
	}
	if v.Less(MinVersion()) {
		return v, fmt.Errorf("%s: %w: it is %v, at least %v is needed", path, ErrTooOld, v, MinVersion())
	}
	return v, nil
}

// Known is what ProbeAgain has found out about a program.
type Known struct {
	Path    string  `json:"path"`
	Version Version `json:"version"`
	// File identifies the program. It is empty for a script or a link to another program, which may run a different
	// rsync each time.
	File string `json:"file"`
}

// ProbeAgain is Probe without asking the program that is known already.
func ProbeAgain(ctx context.Context, program string, last Known) (Known, error) {
	path, err := lookup(program)
	if err != nil {
		return Known{}, err
	}
	k := Known{Path: path, File: identify(path)}
	if k.File != "" && k.Path == last.Path && k.File == last.File && !last.Version.Less(MinVersion()) {
		return last, nil
	}
	k.Version, err = usableVersion(ctx, path)
	return k, err
}

// identify tells a file with a program from every other one. Replacing it changes its inode number, and writing to it
// its ctime.
func identify(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.Base(real) != "rsync" {
		return ""
	}
	f, err := os.Open(real)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 4)
	var st syscall.Stat_t
	if _, err := io.ReadFull(f, head); err != nil || string(head) != "\x7fELF" || syscall.Fstat(int(f.Fd()), &st) != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d-%d-%d.%09d", st.Dev, st.Ino, st.Size, st.Ctim.Sec, st.Ctim.Nsec)
}

// lookup is exec.LookPath with a distinct error for each reason. A path with a slash must be absolute.
func lookup(program string) (string, error) {
	if program == "" {
		program = "rsync"
	}
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		return "", fmt.Errorf("%s: %w: give an absolute path", program, ErrRelative)
	}
	path, err := exec.LookPath(program)
	switch {
	case err == nil && filepath.IsAbs(path):
		return path, nil
	case err == nil || errors.Is(err, exec.ErrDot):
		return "", fmt.Errorf("%s: %w: PATH has an empty or relative element", program, ErrRelative)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
		return "", fmt.Errorf("%w: %w", ErrNotExecutable, err)
	}
	if path := notExecutable(program); path != "" {
		return "", fmt.Errorf("%w: %w", ErrNotExecutable, &fs.PathError{Op: "exec", Path: path, Err: fs.ErrPermission})
	}
	return "", fmt.Errorf("%w: %w", ErrNotFound, err)
}

// notExecutable finds a file of that name without the x bit, which LookPath skips silently.
func notExecutable(program string) string {
	if strings.Contains(program, "/") {
		return ""
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, program)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && filepath.IsAbs(dir) {
			return path
		}
	}
	return ""
}

// askVersion reads only the first lines, because the program may be anything. It gives up after a while: the limits are
// for a program that hangs, since on a busy machine the start of rsync alone can take many seconds.
func askVersion(ctx context.Context, path string) (Version, error) {
	const limit, drain = time.Minute, 10 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not answer within %v", limit))
	defer cancel()
	out := &tail{max: 8 << 10}
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = childEnv(os.LookupEnv)
	cmd.Stdout = &head{max: 8 << 10, to: out}
	cmd.WaitDelay = drain
	err := cmd.Run()
	if ctx.Err() != nil {
		return Version{}, fmt.Errorf("%s --version: %w", path, context.Cause(ctx))
	}
	v, ok := ParseVersion(out.String())
	switch {
	// It ended well and told its version. That something it started holds its output open does not matter.
	case errors.Is(err, exec.ErrWaitDelay) && ok:
		return v, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
		return Version{}, fmt.Errorf("%w: %w", ErrNotExecutable, err)
	case err != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOEXEC)):
		return Version{}, fmt.Errorf("%s: %w: %w", path, ErrNotRsync, err)
	case err != nil:
		return Version{}, fmt.Errorf("%s --version: %w: %w", path, ErrNotRsync, err)
	case !ok:
		return Version{}, fmt.Errorf("%s --version: %w: it names no version of rsync", path, ErrNotRsync)
	}
	return v, nil
}
