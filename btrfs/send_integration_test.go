//go:build integration

package btrfs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// TestSend: what Send writes is byte for byte what btrfs-progs gets, and can be received.
func TestSend(t *testing.T) {
	dir := loopfs.New(t, "512M")
	root := openDir(t, dir)
	sub, old := makeSent(t, root)
	must(t, os.WriteFile(dir+"/sub/new", random(t, 300<<10), 0o644))
	must(t, os.Rename(dir+"/sub/a", dir+"/sub/b"))
	must(t, btrfs.CreateSnapshot(root, "new", sub, btrfs.SnapshotOptions{ReadOnly: true}))
	next := openDir(t, dir+"/new")

	for _, tt := range []struct {
		name    string
		parent  *os.File
		options btrfs.SendOptions
		progs   []string
	}{
		{"whole", nil, btrfs.SendOptions{}, nil},
		{"whole without data", nil, btrfs.SendOptions{NoFileData: true}, []string{"--no-data"}},
		{"increment", old, btrfs.SendOptions{}, []string{"-p", dir + "/old"}},
		{"increment without data", old, btrfs.SendOptions{NoFileData: true}, []string{"--no-data", "-p", dir + "/old"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stream bytes.Buffer
			must(t, btrfs.Send(t.Context(), next, tt.parent, &stream, tt.options))
			want, err := exec.Command("btrfs", append(append([]string{"-q", "send", "--proto", "1"}, tt.progs...), dir+"/new")...).Output()
			must(t, err)
			// We name no clone sources to the kernel; btrfs-progs names the parent, so only the streams of a
			// metadata-only send must be the same.
			if tt.options.NoFileData && !bytes.Equal(stream.Bytes(), want) {
				t.Errorf("stream of %d bytes, btrfs send makes %d", stream.Len(), len(want))
			}
			if tt.options.NoFileData {
				return
			}
			to := loopfs.New(t, "512M")
			for _, s := range [][]byte{sendAll(t, old), stream.Bytes()} {
				if tt.parent == nil && bytes.Equal(s, sendAll(t, old)) {
					continue
				}
				receive := exec.Command("btrfs", "receive", "-e", to)
				receive.Stdin = bytes.NewReader(s)
				if out, err := receive.CombinedOutput(); err != nil {
					t.Fatalf("btrfs receive: %v\n%s", err, out)
				}
			}
			if out, err := exec.Command("diff", "-r", dir+"/new", to+"/new").CombinedOutput(); err != nil {
				t.Errorf("received something else: %v\n%s", err, out)
			}
		})
	}
}

// makeSent makes a writable subvolume "sub" with a file "a", and a read-only snapshot "old".
func makeSent(t *testing.T, root *os.File) (sub, old *os.File) {
	t.Helper()
	must(t, btrfs.CreateSubvolume(root, "sub"))
	sub = openDir(t, filepath.Join(root.Name(), "sub"))
	must(t, os.WriteFile(filepath.Join(sub.Name(), "a"), random(t, 3<<20), 0o644))
	must(t, btrfs.CreateSnapshot(root, "old", sub, btrfs.SnapshotOptions{ReadOnly: true}))
	return sub, openDir(t, filepath.Join(root.Name(), "old"))
}

func sendAll(t *testing.T, subvol *os.File) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, btrfs.Send(t.Context(), subvol, nil, &b, btrfs.SendOptions{}))
	return b.Bytes()
}

func sendNowhere(subvol, parent *os.File) error {
	return btrfs.Send(context.Background(), subvol, parent, io.Discard, btrfs.SendOptions{NoFileData: true})
}

func TestSendErrors(t *testing.T) {
	w := newWorld(t)
	elsewhere := openDir(t, w.other.Name())
	must(t, btrfs.CreateSubvolume(elsewhere, "s"))
	must(t, btrfs.CreateSnapshot(elsewhere, "snap", openDir(t, elsewhere.Name()+"/s"), btrfs.SnapshotOptions{ReadOnly: true}))
	foreign := openDir(t, elsewhere.Name()+"/snap")
	roPath := openPath(t, w.ro.Name())
	must(t, btrfs.CreateSnapshot(w.root, "gone", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))
	gone := openDir(t, w.root.Name()+"/gone")
	must(t, btrfs.DeleteSubvolume(w.root, "gone"))

	checkFailures(t, "BTRFS_IOC_SEND", append([]failure{
		{"writable subvolume", sendNowhere(w.sub, nil), []error{btrfs.ErrWritable, unix.EPERM}, nil},
		{"plain directory", sendNowhere(w.plain, nil), []error{btrfs.ErrNotSubvolume}, nil},
		{"deleted subvolume", sendNowhere(gone, nil), []error{unix.EPERM}, []error{btrfs.ErrWritable}},
		{"parent writable", sendNowhere(w.ro, w.sub), []error{btrfs.ErrWritable, unix.EPERM}, nil},
		{"parent on another filesystem", sendNowhere(w.ro, foreign), []error{unix.EINVAL}, nil},
		notBtrfs(sendNowhere(w.ext4, nil)),
	}, opened(sendNowhere(roPath, nil), sendNowhere(w.closed, nil))...))

	if err := sendNowhere(w.ro, w.plain); !errors.Is(err, btrfs.ErrNotSubvolume) {
		t.Errorf("plain directory as parent: %v", err)
	}
	if err := sendNowhere(w.ro, w.ro); err != nil {
		t.Errorf("a subvolume as its own parent: %v", err)
	}
}

func init() {
	nobodyOps["Send"] = func(f []*os.File) error { return sendNowhere(f[0], nil) }
}

func TestSendAsNobody(t *testing.T) {
	dir := loopfs.New(t, "128M")
	root := openDir(t, dir)
	_, old := makeSent(t, root)
	if _, err := asNobody(t, "Send", "", old); !errors.Is(err, unix.EPERM) {
		t.Errorf("Send as nobody = %v, want EPERM", err)
	}
}

// TestSendReaderGone: a reader may stop at any time, and its error is returned.
func TestSendReaderGone(t *testing.T) {
	dir := loopfs.New(t, "256M")
	_, old := makeSent(t, openDir(t, dir))
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	if err := btrfs.Send(t.Context(), old, nil, w, btrfs.SendOptions{}); !errors.Is(err, unix.EPIPE) {
		t.Errorf("Send into a broken pipe = %v, want EPIPE", err)
	}
	must(t, w.Close())

	enough := errors.New("enough")
	if err := btrfs.Send(t.Context(), old, nil, failingWriter{enough}, btrfs.SendOptions{}); err != enough {
		t.Errorf("Send to a writer that fails = %v, want its error", err)
	}
	must(t, btrfs.SetReadOnly(old, false)) // nothing is left of the send
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestSendCancelled(t *testing.T) {
	dir := loopfs.New(t, "256M")
	_, old := makeSent(t, openDir(t, dir))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why not")
	writer := cancelOnWrite{func() { cancel(why) }}
	if err := btrfs.Send(ctx, old, nil, writer, btrfs.SendOptions{}); !errors.Is(err, why) {
		t.Errorf("Send cancelled = %v, want %v", err, why)
	}
	must(t, btrfs.SetReadOnly(old, false))
}

type cancelOnWrite struct{ cancel func() }

func (w cancelOnWrite) Write(p []byte) (int, error) {
	w.cancel()
	return len(p), nil
}

// TestSendUnderSignals: signals that come while the pipe is full do not make the stream begin anew.
func TestSendUnderSignals(t *testing.T) {
	dir := loopfs.New(t, "256M")
	_, old := makeSent(t, openDir(t, dir))
	want := sendAll(t, old)

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-signals:
			default:
				signalAllThreads()
				time.Sleep(time.Millisecond)
			}
		}
	}()
	var got bytes.Buffer
	must(t, btrfs.Send(t.Context(), old, nil, &slowWriter{&got}, btrfs.SendOptions{}))
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("stream of %d bytes, want the %d it has without signals", got.Len(), len(want))
	}
}

func signalAllThreads() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		_ = unix.Tgkill(os.Getpid(), int(atoi(strings.TrimSpace(thread.Name()))), unix.SIGUSR1)
	}
}

type slowWriter struct{ w io.Writer }

func (s *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return s.w.Write(p)
}
