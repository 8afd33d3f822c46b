package check

import (
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

// checkCopies speaks up where a copy was found not to be its backup.
func checkCopies(in *checkInput, r *Report) {
	var differ []string
	target := ""
	for _, b := range in.state.All() {
		if b.Record != nil && b.Record.Compared != nil && b.Record.Compared.Result == facts.CopyDiffers {
			differ, target = append(differ, b.Name), b.Record.Compared.Target
		}
	}
	if len(differ) > 0 {
		r.add("copies", facts.CheckFail, "%s not the same in %s when last compared: %s", say.Plural(len(differ), "backup"), target, say.SomeNames(differ))
	}
}
