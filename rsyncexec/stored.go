package rsyncexec

import (
	"slices"
	"strings"
)

// Stored says how a destination stores what its source had, as far as options decide. A restore needs this: a missing
// attribute may not have been stored, and the source may have had it.
type Stored struct {
	FakeSuper   bool // owners, modes and devices are in the attribute user.rsync.%stat
	Atimes      bool // times of access were kept
	NoACLs      bool
	NoXattrs    bool
	NoHardLinks bool // each name is a file of its own
}

// ParseStored reads options that CheckExtra accepts, of a run that had --hard-links, --acls and --xattrs before them.
// The last option about an attribute decides. In a local copy the other end (-M) is the destination, otherwise the
// source.
func ParseStored(args []string, localSource bool) Stored {
	var s Stored
	remote := "" // of the options for the other end, the last that counts
	for _, o := range options(args) {
		switch name := strings.TrimPrefix(o.rule.long, "no-"); {
		case name == "remote-option" && (o.value == "--fake-super" || o.value == "--super"):
			remote = o.value
		case o.is("fake-super"):
			s.FakeSuper = true
		case o.is("super"):
			s.FakeSuper = false
		case o.is("atimes", "U"):
			s.Atimes = name == o.rule.long
		case o.is("acls", "A"):
			s.NoACLs = name != o.rule.long
		case o.is("xattrs", "X"):
			s.NoXattrs = name != o.rule.long
		case o.is("hard-links", "H"):
			s.NoHardLinks = name != o.rule.long
		}
	}
	if localSource && remote != "" {
		s.FakeSuper = remote == "--fake-super"
	}
	return s
}

// extra are o.Extra. In a local copy --fake-super counts for both ends; a source that stores nothing that way would be
// read as one that has no ACLs (3.5.0). So only the end that writes gets it.
func (o Options) extra() []string {
	if o.Source.Kind != Local || o.RemoteDest != nil || slices.ContainsFunc(options(o.Extra), func(g given) bool { return g.is("super") || g.rule.long == "remote-option" }) {
		return o.Extra
	}
	var args []string
	for rest := o.Extra; len(rest) > 0; {
		found, next, err := nextOptions(rest)
		if err != nil {
			return o.Extra // refused before
		}
		if len(found) == 1 && found[0].rule.long == "fake-super" {
			args = append(args, "-M--fake-super")
		} else {
			args = append(args, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	return args
}

// is reports whether an option is one of names, or --no- and one of them.
func (g given) is(names ...string) bool {
	for _, name := range names {
		if g.rule.long == name || g.rule.long == "no-"+name {
			return true
		}
	}
	return false
}

// Excluded returns what options leave out: the patterns of --exclude and of plain exclude rules. otherwise reports that
// another option may leave something out, or include something again.
func Excluded(args []string) (patterns []string, otherwise bool) {
	for _, o := range options(args) {
		filter := parseFilter(o.value)
		switch {
		case o.rule.long == "exclude" && !takesIn(o.value):
			patterns = append(patterns, o.value)
		case o.rule.long == "filter" && filter.name == "-" && filter.modifiers == "" && !takesIn(filter.pattern) && !strings.HasPrefix(filter.pattern, "- "):
			patterns = append(patterns, filter.pattern)
		case !o.copiesAll():
			otherwise = true
		}
	}
	return patterns, otherwise
}

// takesIn reports that a pattern of --exclude does not exclude: it includes, or clears all rules before it.
func takesIn(pattern string) bool { return strings.HasPrefix(pattern, "+ ") || pattern == "!" }

// copiesAll reports that an option leaves out no file.
func (g given) copiesAll() bool {
	name := strings.TrimPrefix(g.rule.long, "no-")
	if name == "" {
		return g.rule.short == 'D'
	}
	const harmless = " motd stats outbuf checksum c ignore-times checksum-choice cc checksum-seed block-size fuzzy y recursive inc-recursive i-r " +
		"archive links hard-links H perms executability acls A xattrs X owner group devices specials times atimes U open-noatime crtimes N super " +
		"fake-super numeric-ids sparse S preallocate partial fsync delete del delete-before delete-during delete-delay delete-after delete-excluded " +
		"rsh remote-option compress z new-compress old-compress compress-choice zc compress-level zl compress-threads zt skip-compress secluded-args " +
		"protect-args timeout contimeout bwlimit address port sockopts blocking-io password-file ipv4 ipv6 8-bit-output 8 "
	return strings.Contains(harmless, " "+name+" ")
}
