// Hints about the config.

package main

import "path/filepath"

// readsConfig is a command that has --config.
type readsConfig interface{ configFile() string }

func (f configFlag) configFile() string { return f.Config }

// newConfig is the place for a config of this user: only root may write to /etc.
func newConfig(uid int, env func(string) string) string {
	home := env("XDG_CONFIG_HOME")
	if home == "" && env("HOME") != "" {
		home = filepath.Join(env("HOME"), ".config")
	}
	if uid == 0 || home == "" {
		return "/etc/rsbtbackup.toml"
	}
	return filepath.Join(home, "rsbtbackup.toml")
}

func (i invocation) configCheck() string { return i.configVerb("check") }

func (i invocation) configShow() string { return i.configVerb("show") }

func (i invocation) configVerb(verb string) string { return i.readingConfig("config", verb) }

// readingConfig is a command that reads the same config as the one that failed.
func (i invocation) readingConfig(command ...string) string {
	words := append([]string{"rsbtbackup"}, command...)
	if c, ok := i.command.(readsConfig); ok && c.configFile() != "" {
		words = append(words, "--config="+c.configFile())
	}
	return quoteAll(words...)
}
