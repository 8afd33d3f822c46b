// Rules: what the user gives to leave out, or to keep.

package backup

// rules are the options by which a backup may lack something its source has.
// Any further option for rsync may be one.
func rules(o *Options) []string {
	var rules []string
	if o.OneFileSystem {
		rules = append(rules, "--one-file-system")
	}
	for _, text := range o.Filter {
		rules = append(rules, "--filter="+text)
	}
	for _, text := range o.Exclude {
		rules = append(rules, "--exclude="+text)
	}
	for _, text := range o.ExcludeFrom {
		rules = append(rules, "--exclude-from="+text)
	}
	return append(rules, o.RsyncArgs...)
}
