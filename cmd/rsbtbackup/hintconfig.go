// Hints about the config.

package main

// readsConfig is a command that has --config.
type readsConfig interface{ configFile() string }

func (f configFlag) configFile() string { return f.Config }

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
