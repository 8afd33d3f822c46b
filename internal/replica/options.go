package replica

import (
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Options are rsbtbackup.CopyOptions, where each field has its comment.
type Options struct {
	SSH        []string
	Program    string
	Decompress bool
	Bwlimit    string
	Keep       retention.Policy

	Force    bool
	DryRun   bool
	LockWait time.Duration
	Now      time.Time
	Logger   *slog.Logger
	Progress func(Progress)
}

// Progress is rsbtbackup.CopyProgress.
type Progress struct {
	Backup  string
	Index   int
	Backups int
	Bytes   uint64
}

// Result is rsbtbackup.CopyResult.
type Result string

// The results of Copied.
const (
	ResultCopied  Result = "copied"
	ResultHad     Result = "had"
	ResultWould   Result = "would"
	ResultUnkept  Result = "unkept"
	ResultRefused Result = "refused"
	ResultFailed  Result = "failed"
)

// Copied is rsbtbackup.CopiedBackup.
type Copied struct {
	Name   string
	Result Result
	As     string
	News   []string
	Parent string
	Bytes  uint64
	Error  string
}

// Report is rsbtbackup.CopyReport.
type Report struct {
	Dest    string
	Target  string
	DryRun  bool
	Backups []Copied
	Bytes   uint64
	Deleted []string
	Notices []string
	Repairs []string
	Started time.Time
	Ended   time.Time
}
