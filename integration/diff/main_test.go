//go:build integration

// Package diff holds the tests of what differs between backups: diff and history, also as an ordinary user and where a
// backup is gone meanwhile.
package diff

import (
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }
