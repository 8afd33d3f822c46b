package receive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

// work is the subvolume as it is made.
type work struct {
	*tree
	sources *sources
	parent  string // name of the subvolume it is made from
	kept    kept   // attributes that its root directory must not have while files are made in it
	refused bool   // the kernel has no encoded writes
	decompressor
	orphans orphans
	lost    int // files that are not NOCOW although the sender's are
}

// begin makes the subvolume, empty or as a snapshot of the parent.
func begin(o Options, h head) (*work, error) {
	w := &work{sources: &sources{dest: o.Dest, own: h.uuid}, orphans: orphans{}}
	if h.parent.IsZero() {
		if err := btrfs.CreateSubvolume(o.Work, workName); err != nil {
			return nil, err
		}
	} else {
		parent, err := w.sources.find(h.parent, h.parentTransid)
		if err != nil {
			return nil, err
		}
		w.parent = parent.name
		if err := btrfs.CreateSnapshot(o.Work, workName, parent.root, btrfs.SnapshotOptions{}); err != nil {
			return nil, errors.Join(err, w.sources.close())
		}
	}
	root, err := btrfs.OpenDirAt(o.Work, workName)
	if err != nil {
		return nil, errors.Join(err, w.sources.close(), removeWork(o.Work))
	}
	w.tree = newTree(root)
	if w.kept, err = takeFromRoot(root); err != nil {
		return nil, errors.Join(err, w.close(), removeWork(o.Work))
	}
	return w, nil
}

func (w *work) close() error {
	w.decompressor.close()
	return errors.Join(w.tree.close(), w.root.Close(), w.sources.close())
}

// apply runs the commands up to the end of the stream. An error says at which byte the command began.
func (w *work) apply(ctx context.Context, stream *sendstream.Reader, result *Result) error {
	for last := time.Now(); ; last = at.Breathe(last) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c, err := stream.Next()
		if err != nil {
			return err
		}
		if _, last := c.(sendstream.End); last {
			break
		}
		if err := w.command(c); err != nil {
			return fmt.Errorf("at byte %d of the stream: %w", stream.Offset(), err)
		}
		result.Commands++
	}
	if w.lost > 0 {
		result.Notices = append(result.Notices, fmt.Sprintf("%d files are copied on write, unlike at the sender: this flag cannot be set on a file that has data", w.lost))
	}
	return errors.Join(w.tree.close(), w.removeOrphans(), w.freeze(), w.kept.giveBack(w.root))
}

func (w *work) command(c sendstream.Command) error {
	w.orphans.see(c)
	switch c := c.(type) {
	case sendstream.Make:
		return w.make(c)
	case sendstream.Rename:
		return w.rename(c.Path, c.To)
	case sendstream.Link:
		return w.link(c.Path, c.Target)
	case sendstream.Unlink:
		return w.unlink(c.Path)
	case sendstream.Rmdir:
		return w.rmdir(c.Path)
	case sendstream.Write:
		return w.write(c.Path, c.Offset, c.Data)
	case sendstream.EncodedWrite:
		return w.writeEncoded(c)
	case sendstream.Clone:
		return w.clone(c)
	case sendstream.Truncate:
		return w.truncate(c.Path, c.Size)
	case sendstream.Fallocate:
		return w.fallocate(c)
	case sendstream.EnableVerity:
		return w.enableVerity(c)
	case sendstream.UpdateExtent:
		return fmt.Errorf("%w: it was made without file data", ErrStream)
	}
	return w.metadata(c)
}

func (w *work) metadata(c sendstream.Command) error {
	switch c := c.(type) {
	case sendstream.SetXattr:
		if c.Path == "" && w.kept.take(c.Name, c.Value) {
			return nil
		}
		return w.setXattr(c.Path, c.Name, c.Value)
	case sendstream.RemoveXattr:
		if c.Path == "" && w.kept.drop(c.Name) {
			return nil
		}
		return w.removeXattr(c.Path, c.Name)
	case sendstream.Chmod:
		return w.chmod(c.Path, c.Mode)
	case sendstream.Chown:
		return w.chown(c.Path, c.UID, c.GID)
	case sendstream.Utimes:
		times, err := timesOf(c)
		if c.Path == "" && err == nil {
			w.kept.times = times
			return nil
		}
		return errors.Join(err, w.utimes(c.Path, times))
	case sendstream.FileAttr:
		return w.fileAttr(c.Path, c.Flags)
	}
	return fmt.Errorf("%w: %T in the middle of it", ErrStream, c)
}

// asFile is the error for a command on a path where the sender has a regular file.
func asFile(n *node, what string) error {
	return &os.PathError{Op: what, Path: n.file.Name(), Err: fmt.Errorf("%w: not a regular file", ErrStream)}
}
