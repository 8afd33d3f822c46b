package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

var (
	// ErrStream: the commands of the stream are invalid or refused.
	ErrStream = errors.New("the stream cannot be received")

	// ErrNoSource: the stream builds on a subvolume that is not here, or has been changed since.
	ErrNoSource = errors.New("the parent of the stream is missing")
)

// workName is the subvolume in Work while it is made.
const workName = "incoming"

// ReadAhead is a good size for the buffer of a reader given to Receive.
const ReadAhead = 256 << 10

// Options of Receive.
type Options struct {
	// Dest is the directory in which the subvolume is published. A stream may build only on subvolumes in it.
	Dest *os.File
	// Work is a directory on the same filesystem which only root may enter. The caller ensures that nobody else
	// receives into it. Leftovers of a crashed run are removed.
	Work *os.File
	// Name to publish under; "" is the one in the stream.
	Name string
	// Accept, if set, is asked about the name before anything is received.
	Accept func(name string) error
	// Whole, if set, is called at the end of the stream. What it writes to the filesystem is durable before the
	// subvolume is published, without a sync of its own. Its error prevents that, and is returned.
	Whole func(*Result) error
}

// Result says what Receive made.
type Result struct {
	Name     string     // it was published under
	UUID     btrfs.UUID // of the sender's subvolume
	Parent   string     // name of the subvolume it was made from; "" for none
	Commands uint64
	Notices  []string // what could not be made as in the stream, and why that does no harm
}

// Receive reads one stream from r, up to and with its end, and publishes the subvolume. It reads no byte beyond the
// end, a few at a time: r should be buffered, with ReadAhead. The subvolume is durable when Receive returns. After an
// error nothing is published, and everything is removed.
//
// Errors: ErrStream and sendstream.ErrFormat, with the place in the stream; ErrNoSource; EEXIST for a name in use;
// btrfs.ErrInvalidName; btrfs.ErrNotBtrfs; EROFS; ENOSPC; EIO for data the disk refused; the cause of ctx; what r
// returned.
func Receive(ctx context.Context, r io.Reader, o Options) (*Result, error) {
	guard, err := guardOf(o)
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	stream := sendstream.NewReader(r)
	head, err := readHead(stream)
	if err != nil {
		return nil, err
	}
	name, err := nameFor(o, head)
	if err != nil {
		return nil, err
	}
	made, err := begin(o, head)
	if err != nil {
		return nil, err
	}
	result := &Result{Name: name, UUID: head.uuid, Parent: made.parent}
	err = at.Aside(func() error { return made.apply(ctx, stream, result) })
	if err == nil {
		err = publish(o, made, head, result, guard)
	}
	return result, errors.Join(err, made.close(), removeWork(o.Work))
}

// guardOf opens Dest again, before the first write: syncfs reports to each descriptor the errors since it was opened.
func guardOf(o Options) (*os.File, error) {
	st, err := at.StatFile(o.Work)
	if err != nil {
		return nil, err
	}
	if st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		return nil, &fs.PathError{Op: "receive", Path: o.Work.Name(), Err: errors.New("others may enter the directory")}
	}
	if err := removeWork(o.Work); err != nil {
		return nil, err
	}
	return at.OpenDir(o.Dest, ".")
}

// removeWork removes the work subvolume, if there is one.
func removeWork(work *os.File) error {
	err := btrfs.DeleteSubvolume(work, workName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// head is the first command of a stream.
type head struct {
	name          string
	uuid          btrfs.UUID
	transid       uint64
	parent        btrfs.UUID // zero for a whole subvolume
	parentTransid uint64
}

func readHead(stream *sendstream.Reader) (head, error) {
	c, err := stream.Next()
	if err != nil {
		return head{}, err
	}
	h := head{}
	switch c := c.(type) {
	case sendstream.Subvol:
		h = head{name: c.Path, uuid: btrfs.UUID(c.UUID), transid: c.CTransID}
	case sendstream.Snapshot:
		h = head{c.Path, btrfs.UUID(c.UUID), c.CTransID, btrfs.UUID(c.ParentUUID), c.ParentCTransID}
		if h.parent.IsZero() {
			return h, fmt.Errorf("%w: it builds on a subvolume without a UUID", ErrStream)
		}
	default:
		return h, fmt.Errorf("%w: it begins with %T", ErrStream, c)
	}
	if h.uuid.IsZero() {
		return h, fmt.Errorf("%w: its subvolume has no UUID", ErrStream)
	}
	return h, nil
}

// nameFor checks early whether the name is free, before hours of receiving.
func nameFor(o Options, h head) (string, error) {
	name := o.Name
	if name == "" {
		name = h.name
	}
	if err := btrfs.CheckName(name); err != nil {
		return "", fmt.Errorf("name %q: %w", name, err)
	}
	if o.Accept != nil {
		if err := o.Accept(name); err != nil {
			return "", err
		}
	}
	_, err := at.Stat(o.Dest, name)
	switch {
	case err == nil:
		return "", at.Error("receive", o.Dest, name, unix.EEXIST)
	case errors.Is(err, fs.ErrNotExist):
		return name, nil
	}
	return "", err
}

// publish first asks whether the disk has taken the data: the snapshot succeeds even if the disk has refused data. The
// same sync makes the record durable: on a slow disk each one can take as long as sending a small increment.
func publish(o Options, made *work, h head, result *Result, guard *os.File) error {
	if o.Whole != nil {
		if err := o.Whole(result); err != nil {
			return err
		}
	}
	if err := btrfs.SyncFS(guard); err != nil {
		return err
	}
	if err := btrfs.SetReceived(made.root, h.uuid, h.transid); err != nil {
		return err
	}
	return btrfs.CreateSnapshot(o.Dest, result.Name, made.root, btrfs.SnapshotOptions{ReadOnly: true})
}
