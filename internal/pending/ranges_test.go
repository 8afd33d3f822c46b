package pending

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCopyRanges: whatever goes wrong, the copy then has a time that no source has.
func TestCopyRanges(t *testing.T) {
	const kib = 1 << 10
	for _, tt := range []struct {
		name string
		had  int // KiB
		do   func(st *unix.Stat_t, from *os.File, stop context.CancelCauseFunc)
		done bool
	}{
		{"the same size", 256, nil, true},
		{"longer", 100, nil, true},
		{"shorter", 300, nil, true},
		{"changed since by its ctime", 256, func(st *unix.Stat_t, _ *os.File, _ context.CancelCauseFunc) { st.Ctim.Nsec ^= 1 }, false},
		{"changed since by its mtime", 256, func(st *unix.Stat_t, _ *os.File, _ context.CancelCauseFunc) { st.Mtim.Nsec ^= 1 }, false},
		{"stopped", 256, func(_ *unix.Stat_t, _ *os.File, stop context.CancelCauseFunc) { stop(os.ErrDeadlineExceeded) }, false},
		{"cut off", 256, func(_ *unix.Stat_t, from *os.File, _ context.CancelCauseFunc) { _ = from.Truncate(50 * kib) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			data := bytes.Repeat([]byte("new "), 64*kib)
			copy(data[200*kib:], make([]byte, 10*kib))
			old := append(bytes.Clone(data), bytes.Repeat([]byte("x"), 100*kib)...)[:tt.had*kib]
			copy(old[10*kib:12*kib], bytes.Repeat([]byte("old!"), kib))
			if tt.had > 210 {
				copy(old[200*kib:210*kib], bytes.Repeat([]byte("old!"), 10*kib))
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(os.WriteFile(filepath.Join(dir, "from"), data, 0o600))
			must(os.WriteFile(filepath.Join(dir, "to"), old, 0o600))
			must(os.Chtimes(filepath.Join(dir, "from"), time.Time{}, time.Unix(1e9, 7)))
			from, err := os.OpenFile(filepath.Join(dir, "from"), os.O_RDWR, 0)
			must(err)
			defer from.Close()
			to, err := os.OpenFile(filepath.Join(dir, "to"), os.O_RDWR, 0)
			must(err)
			defer to.Close()
			var st unix.Stat_t
			must(unix.Fstat(int(from.Fd()), &st))
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			if tt.do != nil {
				tt.do(&st, from, stop)
			}
			ranges := []Range{{Offset: 8 * kib, End: 16 * kib}, {Offset: 96 * kib, End: 200 * kib}, {Offset: 200 * kib, End: 210 * kib, Hole: true}, {Offset: 210 * kib, End: 256 * kib}}
			done, err := CopyRanges(ctx, to, from, &st, ranges, func(int64) error { return nil })
			if (err != nil) != (ctx.Err() != nil) || done.Done != tt.done {
				t.Errorf("%+v, %v", done, err)
			}
			var now unix.Stat_t
			must(unix.Fstat(int(to.Fd()), &now))
			if want := map[bool]unix.Timespec{true: st.Mtim, false: noTime()}[tt.done]; now.Mtim != want && (tt.done || now.Mtim == st.Mtim) {
				t.Errorf("its time is %v, want %v", now.Mtim, want)
			}
			if got, err := os.ReadFile(to.Name()); tt.done && (err != nil || !bytes.Equal(got, data)) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if tt.name == "the same size" && done.Written > 4*kib {
				t.Errorf("%d bytes written", done.Written)
			}
		})
	}
}
