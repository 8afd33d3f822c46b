package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// noKey are flags that are about one call and so have no key, with the reason.
var noKey = map[string]string{
	"help": "asks", "version": "asks", "verbose": "how to tell", "quiet": "how to tell", "json": "how to tell", "color": "how to tell",
	"dry-run": "asks", "force": "a guard that is always overridden guards nothing",
	"against-copy": "asks, of copies that the job names",
}

// keyOf is the key for a flag of a verb: verify and check have tables of their own, and what both leave out is left out
// by the job.
func keyOf(verb, flag string) string {
	switch {
	case verb == "verify" && slices.Contains([]string{"new-only", "jobs", "against"}, flag):
		return "verify." + flag
	case verb == "verify" && flag == "program":
		return "copy.*.program"
	case verb == "copy" && flag != "lock-wait":
		return "copy.*." + flag
	case verb == "check":
		return "check." + flag
	}
	return flag
}

// TestEveryFlagHasAKey: what can be said on the command line can be said in the config, under the same name.
func TestEveryFlagHasAKey(t *testing.T) {
	keys := map[string]config.Key{}
	for _, k := range config.Keys() {
		keys[k.Name] = k
	}
	about := map[string]string{"config": "names the config", "all": "asks", "job": "asks", "group": "asks", "nagios": "how to tell"} // of check: several DESTs
	for _, verb := range model(t).Children {
		if !slices.Contains([]string{"backup", "prune", "verify", "check", "copy"}, verb.Name) {
			continue
		}
		for _, flag := range slices.Concat(verb.AllFlags(true)...) {
			if verb.Name == "check" && (flag.Name == "lock-wait" || about[flag.Name] != "") || noKey[flag.Name] != "" {
				continue
			}
			k, ok := keys[keyOf(verb.Name, flag.Name)]
			if !ok {
				t.Errorf("%s --%s has no key: add one to internal/config/keys.go, or a reason to noKey", verb.Name, flag.Name)
				continue
			}
			if flag.Enum != "" && strings.Join(k.Enum, ",") != flag.Enum {
				t.Errorf("%s --%s takes %s, the key %v", verb.Name, flag.Name, flag.Enum, k.Enum)
			}
			if (k.Kind == config.Bool) != flag.IsBool() && k.Name != "verify.against" {
				t.Errorf("%s --%s: the key is a %s", verb.Name, flag.Name, k.Kind)
			}
			if flagIsList(flag) != (k.Kind == config.Texts) {
				t.Errorf("%s --%s: the key is a %s", verb.Name, flag.Name, k.Kind)
			}
		}
	}
}

func flagIsList(flag *kong.Flag) bool { return flag.IsCumulative() }
