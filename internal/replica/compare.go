package replica

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/twin"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// CompareOptions are those of rsbtbackup.AgainstCopyOptions, where each has its comment.
type CompareOptions struct {
	SSH      []string
	Program  string
	Now      time.Time
	Logger   *slog.Logger
	Progress func(facts.VerifyProgress)
	Found    func(facts.CopyDifference)
}

// CompareReport is rsbtbackup.AgainstCopyReport.
type CompareReport struct {
	Dest        string
	Target      string
	Backups     []facts.ComparedBackup
	Differences int
	Found       []facts.CopyDifference
	Unread      int
	Unreads     []string
	Notices     []string
	Started     time.Time
	Ended       time.Time
}

const (
	maxFound  = 1000
	maxUnread = 100
)

// matching is one comparison of backups with their copies.
type matching struct {
	*copying
	o      CompareOptions
	report *CompareReport
	there  []Item
	strict bool // backups were given by name: each must have a copy
}

// twins compares one backup with one copy.
type twins func(ctx context.Context, root *twin.Tree, copied Item, account *twin.Account) error

// Compare compares backups of dest with their copies in target, which may be on another host.
func Compare(ctx context.Context, dest, target string, refs []string, o CompareOptions) (*CompareReport, error) {
	report := &CompareReport{Dest: dest, Target: target, Started: store.Now(o.Now).UTC()}
	c := newCopying(Options{SSH: o.SSH, Program: o.Program}, &Report{})
	m := &matching{copying: c, o: o, report: report, strict: len(refs) > 0}
	err := m.between(ctx, dest, target, refs)
	report.Ended = store.Now(o.Now).UTC()
	return report, err
}

func (m *matching) between(ctx context.Context, dest, target string, refs []string) error {
	to, err := place("TARGET", target)
	if err != nil {
		return err
	}
	if err := m.open(dest, refs); err != nil {
		return err
	}
	m.report.Dest = m.store.Path
	if to.Kind == rsyncexec.Shell {
		err = m.withHost(ctx, to)
	} else if err = differentDirs(m.store, target); err == nil {
		err = ofTarget(m.here(ctx, target))
	}
	return errors.Join(err, m.store.Close())
}

// here compares with a target on this host, which is not locked: a copy is never changed.
func (m *matching) here(ctx context.Context, target string) (err error) {
	s, err := store.Open(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	m.report.Target = s.Path
	if m.there, err = readItems(s); err != nil {
		return err
	}
	return m.all(ctx, func(ctx context.Context, tree *twin.Tree, copied Item, account *twin.Account) error {
		return withTree(s, copied.Name, func(other *twin.Tree) error { return twin.Compare(ctx, tree, other, account) })
	})
}

// withTree opens a backup while act runs.
func withTree(s *store.Store, name string, act func(*twin.Tree) error) (err error) {
	root, err := btrfs.OpenDirAt(s.Dir, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	tree, err := twin.NewTree(root)
	if err != nil {
		return err
	}
	return act(tree)
}

// copyOf is the copy of a backup: the one with the UUID that all copies have, or else the one with its name.
func copyOf(b Item, there []Item) (copied Item, byUUID, ok bool) {
	for _, t := range there {
		switch {
		case t.Origin == b.Origin && (!byUUID || t.Base && !copied.Base):
			copied, byUUID, ok = t, true, true
		case t.Name == b.Name && !byUUID:
			copied, ok = t, true
		}
	}
	return copied, byUUID, ok
}

// all compares one backup after the other.
func (m *matching) all(ctx context.Context, compare twins) error {
	var wanted []Item
	for _, item := range m.items {
		if m.wanted[item.Name] {
			wanted = append(wanted, item)
		}
	}
	compared := 0
	for i, item := range wanted {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		done := facts.ComparedBackup{Name: item.Name, Result: facts.NoCopy}
		copied, byUUID, ok := copyOf(item, m.there)
		if ok {
			compared++
			if done.As = copied.Name; done.As == item.Name {
				done.As = ""
			}
			if !byUUID {
				m.notice(item.Name + ": what has that name in TARGET is no copy of it by its UUID, and is compared all the same")
			}
			progress := facts.VerifyProgress{Backup: item.Name, Index: i, Backups: len(wanted)}
			if item.Hidden || copied.Hidden {
				m.unread(item.Name + ": " + underMount)
				done.Result = facts.CopyUnread
			} else if err := m.one(ctx, item, copied, compare, &done, progress); err != nil {
				return fail.Step("compare", err)
			}
		}
		m.report.Backups = append(m.report.Backups, done)
	}
	return fail.Step("compare", m.verdict(compared))
}

func (m *matching) notice(text string) { m.report.Notices = append(m.report.Notices, text) }

func (m *matching) one(ctx context.Context, item, copied Item, compare twins, done *facts.ComparedBackup, progress facts.VerifyProgress) error {
	unread, found := m.report.Unread, m.report.Differences
	account := twin.NewAccount(m.heard(item.Name, progress))
	err := withTree(m.store, item.Name, func(tree *twin.Tree) error { return compare(ctx, tree, copied, account) })
	b, findErr := store.Find(m.state.All(), item.Name)
	if findErr == nil {
		if gone := m.store.Gone(b); errors.Is(gone, facts.ErrBackupGone) {
			return gone
		}
	}
	if err = errors.Join(err, findErr); err != nil {
		return err
	}
	t := account.Tally()
	done.Names, done.Files, done.BySums, done.ByReading, done.Bytes = t.Names, t.Files, t.BySums, t.ByReading, t.Bytes
	done.Differences = m.report.Differences - found
	switch {
	case done.Differences > 0:
		done.Result = facts.CopyDiffers
	case m.report.Unread > unread:
		done.Result = facts.CopyUnread
		return nil // nothing to record
	default:
		done.Result = facts.SameCopy
	}
	return m.keep(ctx, b, done.Result)
}

// heard adds the result for one backup to the report.
func (m *matching) heard(backup string, progress facts.VerifyProgress) twin.Heard {
	before := facts.VerifyProgress{}
	for _, b := range m.report.Backups {
		before.Files, before.Bytes = before.Files+b.Names, before.Bytes+b.Bytes
	}
	return twin.Heard{
		Differs: func(d twin.Difference) {
			m.report.Differences++
			found := facts.CopyDifference{Backup: backup, Path: d.Path, PathBytes: facts.InvalidUTF8(d.Path), What: d.What}
			if len(m.report.Found) < maxFound {
				m.report.Found = append(m.report.Found, found)
			}
			if m.o.Found != nil {
				m.o.Found(found)
			}
		},
		Unread: func(err error) { m.unread(err.Error()) },
		Tell: func(t twin.Tally) {
			if m.o.Progress != nil {
				progress.Files, progress.Bytes = before.Files+t.Names, before.Bytes+t.Bytes
				m.o.Progress(progress)
			}
		},
	}
}

func (m *matching) unread(text string) {
	m.report.Unread++
	if len(m.report.Unreads) < maxUnread {
		m.report.Unreads = append(m.report.Unreads, text)
	}
}

// keep records the result. Unlike Verified it does not say whether the disk still returns the data.
func (m *matching) keep(ctx context.Context, b facts.Snapshot, result facts.CopyVerdict) error {
	err := m.store.WriteCompared(ctx, b, facts.Comparison{At: store.Now(m.o.Now).UTC(), Target: m.report.Target, Result: result})
	if err != nil {
		m.notice("the result is not stored: " + err.Error())
	}
	return nil
}

// verdict is the error returned with the report.
func (m *matching) verdict(compared int) error {
	var differs, unread, missing error
	if n := m.report.Differences; n > 0 {
		differs = fail.Kindf(facts.ErrDiffers, "%s of %s: %s not the same as in %s", say.Plural(n, "name"), m.report.Target, isOrAre(n), m.report.Dest)
	}
	if n := m.report.Unread; n > 0 {
		unread = fail.Kindf(facts.ErrUnread, "%s could not be read, the first: %s", say.Plural(n, "file"), m.report.Unreads[0])
	}
	var names []string
	for _, b := range m.report.Backups {
		if b.Result == facts.NoCopy {
			names = append(names, b.Name)
		}
	}
	if len(names) > 0 && (m.strict || compared == 0) {
		missing = fail.Kindf(facts.ErrDiffers, "%s has no copy of %s", m.report.Target, say.SomeNames(names))
	}
	return errors.Join(differs, unread, missing)
}

func isOrAre(n int) string {
	if n == 1 {
		return "it is"
	}
	return "they are"
}
