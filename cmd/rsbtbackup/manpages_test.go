package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// TestPagesAreWhole: every command, argument and flag, and every key of the config is in its page.
func TestPagesAreWhole(t *testing.T) {
	root := model(t)
	has := func(page, want string) {
		t.Helper()
		if want = strings.ReplaceAll(want, "-", `\-`); !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	page := commandPage(root, time.Unix(0, 0))
	for _, verb := range root.Leaves(true) {
		_, section, found := strings.Cut(page, strings.ReplaceAll(".SS \"rsbtbackup "+verbPath(verb), "-", `\-`))
		if !found {
			t.Errorf("no command %s", verbPath(verb))
		}
		section, _, _ = strings.Cut(section, "\n.S")
		for _, flag := range verb.Flags {
			has(section, strings.TrimPrefix("--"+flag.Name, "--"))
		}
		for _, argument := range verb.Positional {
			has(section, argument.Name)
		}
	}
	for _, flag := range slices.Concat(root.AllFlags(true)...) {
		has(page, "--"+flag.Name)
	}
	for _, code := range bySeverity {
		has(page, fmt.Sprintf("\n%3d  ", code))
	}
	page = configPage(time.Unix(0, 0))
	for _, k := range slices.Concat(config.Keys(), config.GlobalKeys()) {
		if !strings.Contains(page, strings.ReplaceAll(".TP\n\\fB"+k.Name+"\\fR\n", "-", `\-`)) {
			t.Errorf("there is no key %s", k.Name)
		}
	}
}
