// What --json prints on stdout: one object a line. Each type, its fields and their units are described in docs/JSON.md.

package main

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/rsbtbackup/rsbtbackup"
)

type initObject struct {
	Type string `json:"type"`
	*rsbtbackup.InitReport
}

type backupObject struct {
	Type string `json:"type"`
	*rsbtbackup.Report
}

type pruneObject struct {
	Type string `json:"type"`
	*rsbtbackup.PruneReport
}

func newPruneObject(r *rsbtbackup.PruneReport) pruneObject {
	neverNull(r)
	return pruneObject{"prune", r}
}

// neverNull is for programs that read lists without a check.
func neverNull(r *rsbtbackup.PruneReport) {
	r.Deleted = append([]string{}, r.Deleted...)
	r.Decisions = append([]rsbtbackup.Decision{}, r.Decisions...)
}

type deleteObject struct {
	Type string `json:"type"`
	*rsbtbackup.DeleteReport
}

type snapshotObject struct {
	Type string `json:"type"`
	rsbtbackup.Snapshot
}

type summaryObject struct {
	Type       string   `json:"type"`
	Dest       string   `json:"dest"`
	Backups    int      `json:"backups"`
	Unfinished bool     `json:"unfinished"`
	Running    bool     `json:"running"`
	Foreign    []string `json:"foreign"`
	Hidden     []string `json:"hidden"`
	AtMost     bool     `json:"at_most,omitempty"`
	Free       uint64   `json:"free"`
	Total      uint64   `json:"total"`
}

type entryObject struct {
	Type string `json:"type"`
	rsbtbackup.Entry
}

type changeObject struct {
	Type string `json:"type"`
	Code string `json:"code"`
	Path string `json:"path"`
}

// change prints a change by rsync: a code as in rsync -i, and a name.
func (u *ui) change(c rsbtbackup.Change) {
	u.result(fmt.Sprintf("%-11s %s", c.Code, name(c.Path)))
	if err := u.object(changeObject{"change", c.Code, c.Path}); err != nil {
		u.note(err.Error())
	}
}

type restoreObject struct {
	Type string `json:"type"`
	*rsbtbackup.RestoreReport
}

type cloneObject struct {
	Type string `json:"type"`
	*rsbtbackup.CloneReport
}

type versionObject struct {
	Type      string `json:"type"`
	Version   string `json:"version"`
	Revision  string `json:"revision,omitempty"`
	Go        string `json:"go"`
	Rsync     string `json:"rsync,omitempty"`
	RsyncPath string `json:"rsync_path,omitempty"`
}

type errorObject struct {
	Type    string   `json:"type"`
	Exit    int      `json:"exit"`
	Message string   `json:"message"`
	Hints   []string `json:"hints,omitempty"`
}

// asciiControls escapes DEL and the C1 controls, which JSON allows in a string and a terminal obeys. They occur only in
// strings.
func asciiControls(data []byte) []byte {
	if !bytes.ContainsFunc(data, isControl) {
		return data
	}
	var b bytes.Buffer
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if isControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.Write(data[:n])
		}
		data = data[n:]
	}
	return b.Bytes()
}

func isControl(r rune) bool { return r >= 0x7f && r < 0xa0 }
