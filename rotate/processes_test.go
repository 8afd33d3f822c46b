package rotate_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/rotate"
)

// The test binary runs itself as a writer when this names what to do.
const roleVariable = "ROTATE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "writer":
		exitOn(writeLines(os.Args[1], os.Args[2]))
	case "file size limit":
		exitOn(writePastFileSizeLimit(os.Args[1]))
	}
}

const (
	processes  = 8
	goroutines = 2
	lines      = 1500
	maxSize    = 4000
)

// Every writer numbers its lines. Rotation may drop only the oldest lines of each writer: the remaining ones end with
// its last line, without gaps, repetitions or broken lines.
func TestManyProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	var writers []*exec.Cmd
	for p := range processes {
		writers = append(writers, start(t, "writer", path, strconv.Itoa(p)))
	}
	for _, w := range writers {
		must(t, w.Wait())
	}
	checkSuffixes(t, path)
}

// With a limit nothing reaches, every line of every writer is there once.
func TestManyProcessesLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	t.Setenv("ROTATE_TEST_MAX_SIZE", "100000000")
	var writers []*exec.Cmd
	for p := range processes {
		writers = append(writers, start(t, "writer", path, strconv.Itoa(p)))
	}
	for _, w := range writers {
		must(t, w.Wait())
	}
	kept := checkSuffixes(t, path)
	if want := processes * goroutines * lines; kept != want {
		t.Errorf("%d lines, want %d", kept, want)
	}
}

// A writer killed at any moment leaves at most one torn line, which is ended before the next one, and no lock.
func TestKilledWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	for i := range 20 {
		w := start(t, "writer", path, strconv.Itoa(i))
		ended := make(chan struct{})
		go func() {
			_ = w.Wait() // killed, mostly
			close(ended)
		}()
		awaitWrites(path, i+1, ended)
		_ = w.Process.Kill() // it may have ended
		<-ended
	}
	log := open(t, path, rotate.Options{MaxSize: maxSize})
	write(t, log, "the end\n")
	kept := strings.SplitAfter(read(t, path), "\n")
	if got := kept[len(kept)-2]; got != "the end\n" {
		t.Errorf("the last line is %q", got)
	}
}

// awaitWrites returns when the size of a file was seen to change n times, or its writer has ended.
func awaitWrites(path string, n int, ended <-chan struct{}) {
	for size := int64(-1); n >= 0; {
		if st, err := os.Stat(path); err == nil && st.Size() != size {
			size = st.Size()
			n--
		}
		select {
		case <-ended:
			return
		case <-time.After(50 * time.Microsecond):
		}
	}
}

// A limit on the file size cuts a write short as a full disk does.
func TestShortWriteIsTakenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	must(t, start(t, "file size limit", path).Wait())
	wantContent(t, path, strings.Repeat("x", 59)+"\nshort\n")
}

func writePastFileSizeLimit(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	log, err := openHere(path, 1000)
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100, Max: 100}); err != nil {
		return err
	}
	line := []byte(strings.Repeat("x", 59) + "\n")
	if _, err := log.Write(line); err != nil {
		return err
	}
	n, err := log.Write(line)
	var pathErr *os.PathError
	if n != 0 || !errors.Is(err, unix.EFBIG) || !errors.As(err, &pathErr) || pathErr.Op != "write" || pathErr.Path != path {
		return fmt.Errorf("Write past the limit = %d, %v; want 0 and EFBIG from write %s", n, err, path)
	}
	_, err = log.Write([]byte("short\n"))
	return err
}

func writeLines(path, process string) error {
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	limit := int64(maxSize)
	if s := os.Getenv("ROTATE_TEST_MAX_SIZE"); s != "" {
		limit, _ = strconv.ParseInt(s, 10, 64)
	}
	log, err := openHere(path, limit)
	if err != nil {
		return err
	}
	for g := range goroutines {
		wg.Go(func() {
			for i := range lines {
				line := fmt.Sprintf("%s-%d %d %s.\n", process, g, i, strings.Repeat("x", i%90))
				if _, err := log.Write([]byte(line)); err != nil {
					errs[g] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, log.Close())...)
}

func checkSuffixes(t *testing.T, path string) (kept int) {
	t.Helper()
	seen := map[string][]int{}
	for _, p := range []string{path + ".1", path} {
		content := read(t, p)
		scanner := bufio.NewScanner(strings.NewReader(content))
		for scanner.Scan() {
			var writer, fill string
			var i int
			if n, err := fmt.Sscanf(scanner.Text(), "%s %d %s", &writer, &i, &fill); n != 3 || fill != strings.Repeat("x", i%90)+"." {
				t.Fatalf("broken line %q in %s: %v", scanner.Text(), p, err)
			}
			seen[writer] = append(seen[writer], i)
			kept++
		}
		if content != "" && !strings.HasSuffix(content, "\n") {
			t.Errorf("%s does not end with a newline", p)
		}
	}
	for writer, numbers := range seen {
		want := make([]int, 0, len(numbers))
		for i := lines - len(numbers); i < lines; i++ {
			want = append(want, i)
		}
		if !slices.Equal(numbers, want) {
			t.Errorf("writer %s: lines %v are not its last %d in order", writer, numbers, len(numbers))
		}
	}
	return kept
}

func start(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	must(t, cmd.Start())
	return cmd
}

func openHere(path string, limit int64) (*rotate.File, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return rotate.OpenAt(dir, filepath.Base(path), rotate.Options{MaxSize: limit})
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
