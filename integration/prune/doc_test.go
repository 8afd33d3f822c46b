//go:build integration

package prune

import (
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }
