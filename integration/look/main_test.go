//go:build integration

// Package look holds the tests of the verbs that only look: what a backup
// holds, and how backups differ.
package look

import (
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }
