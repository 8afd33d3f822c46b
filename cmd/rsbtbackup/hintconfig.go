// Hints about the config.

package main

// readsConfig is a command that has --config.
type readsConfig interface{ configFile() string }

func (f configFlag) configFile() string { return f.Config }

func (i invocation) configCheck() string { return i.configVerb("check") }

func (i invocation) configShow() string { return i.configVerb("show") }

// configVerb reads the same config as the command that failed.
func (i invocation) configVerb(verb string) string {
	words := []string{"rsbtbackup", "config", verb}
	if c, ok := i.command.(readsConfig); ok && c.configFile() != "" {
		words = append(words, "--config="+c.configFile())
	}
	return quoteAll(words...)
}
