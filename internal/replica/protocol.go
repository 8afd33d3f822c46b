package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// The receiving side sends a greeting of one line, takes archives, and answers each with one line. It ends with its
// input, or after the first archive that it could not receive. With a policy it prunes after everything was sent, and
// reports that in one more line. Before the first message it changes nothing and takes no lock. A client that is about
// to send asks for the lock, and gets a second greeting.
const (
	protocolVersion = 1
	maxGreeting     = 64 << 20
	maxAnswer       = 1 << 20
)

type greeting struct {
	Rsbtbackup string `json:"rsbtbackup"` // "receive"
	Version    int    `json:"version"`
	Dest       string `json:"dest"`
	Backups    []Item `json:"backups"`
	// Keep is the policy by which the receiving side prunes at the end. The sending side skips what would be deleted.
	Keep retention.Policy `json:"keep,omitzero"`
	// Can lists abilities that older programs do not have.
	Can []string `json:"can,omitempty"`
	failure
}

// canBegin: a dry run ends with the first greeting. An older program has already taken the lock by then, and made
// repairs.
const canBegin = "begin"

// canUnsummed: archives without a SHA-256 are accepted, and sent if requested.
const canUnsummed = "unsummed"

// about is the beginning of a message.
const about = `{"begin":true}` + "\n"

// allSent is the last message of a run, but not of a dry run or a failed one: then nothing is deleted.
const allSent = `{"done":true}` + "\n"

// farewell is the answer to it if there is a policy; it is also sent if the disk is full.
type farewell struct {
	Deleted []string `json:"deleted"`
	failure
}

type answer struct {
	Received string   `json:"received,omitempty"`
	Notices  []string `json:"notices,omitempty"`
	failure
}

// failure is an error, as far as the other side can handle it.
type failure struct {
	Error string `json:"error,omitempty"`
	Kind  string `json:"kind,omitempty"`
}

// kinds are the errors that keep their meaning on the other side.
var kinds = []struct {
	name string
	kind error
}{
	{"not initialised", facts.ErrNotInitialized}, {"not btrfs", facts.ErrNotBtrfs}, {"dest", facts.ErrDest},
	{"locked", facts.ErrLocked}, {"no space", facts.ErrNoSpace}, {"usage", facts.ErrUsage},
	{"no backup", facts.ErrNoBackup}, {"unusual", facts.ErrUnusual}, {"no decoder", receive.ErrNoDecoder},
	{"gone", facts.ErrBackupGone}, {"damaged", facts.ErrDamaged},
	{"increment", errIncrement},
}

func failureOf(err error) failure {
	f := failure{Error: err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			f.Kind = k.name
			break
		}
	}
	return f
}

// err is nil if nothing failed.
func (f failure) err() error {
	if f.Error == "" {
		return nil
	}
	err := errors.New(strings.TrimPrefix(f.Error, "DEST: ")) // of its DEST, which can be the TARGET of this side
	for _, k := range kinds {
		if f.Kind == k.name {
			return fail.Kind(k.kind, err)
		}
	}
	return err
}

func writeMessage(w io.Writer, message any) error {
	line, err := json.Marshal(message)
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	return err
}

// parseMessage refuses other input: output of a login script, or of another program.
func parseMessage(line []byte, message any) error {
	if err := json.Unmarshal(line, message); err != nil || len(line) == 0 || line[0] != '{' {
		return fmt.Errorf("%w: the other side answered %.100q: does it have an rsbtbackup that can receive, and does its login print nothing?", facts.ErrArchive, line)
	}
	return nil
}
