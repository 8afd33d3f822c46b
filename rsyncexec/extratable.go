package rsyncexec

import "strings"

// rule is what CheckExtra knows of one option of rsync.
type rule struct {
	long   string // without dashes, "" if there is none
	short  byte   // 0 if there is none
	value  bool   // takes a value
	refuse string // why it is refused, "" when it is not
	hint   string
	values func(given) error // checks the value
}

func (r rule) unknown() bool { return r.long == "" && r.short == 0 }

func longRule(name string) rule {
	for _, r := range rules() {
		if r.long == name && name != "" {
			return r
		}
	}
	return rule{}
}

func shortRule(letter byte) rule {
	for _, r := range rules() {
		if r.short == letter {
			return r
		}
	}
	return rule{}
}

// Why an option is refused.
const (
	altersSource  = "it would change the source"
	writesOutside = "it would write outside the backup, or leave files of its own in it"
	notACopy      = "the backup would not be a copy of the source"
	altersPerms   = "the backup would not have the permissions of the source"
	altersOwners  = "the backup would not have the owners and groups of the source"
	altersTimes   = "the backup would not have the times of the source"
	altersNames   = "the backup would not have the file names of the source"
	keepsStale    = "files that changed would keep their old content in the backup"
	hidesFailure  = "a source that is missing or unreadable would not be noticed"
	copiesNothing = "rsync would only print something, and copy nothing"
	ourFlag       = "this program's own options decide it"
	breaksParsing = "it would change or hide the progress and statistics that this program reads"
	unsafeLinks   = "it would let links lead out of the tree"
	notAClient    = "it is for the other end of a connection, or for a daemon"
	unprotected   = "special characters in the source's path would reach the remote shell"
	saysNames     = "a file name in its output could be mistaken for a message of rsync"
	rawBytes      = "file names could send control characters to the terminal and the log"
)

const changeRestored = "change them in what is restored"

const showChanges = "to see what would change: --dry-run; to see what did: rsbtbackup diff DEST latest~1 latest"

const (
	showsProgress = "progress is shown on a terminal already"
	sharesAlready = "unchanged data is shared with the last backup already"
	logsAlready   = "a log is kept in DEST already"
)

// rules lists every option of rsync 3.5.0, including undocumented ones and deprecated spellings.
func rules() []rule {
	return append(append(allowedRules(), refusedRules()...), negatedRules()...)
}

func allowedRules() []rule {
	return []rule{
		// output
		{long: "motd"},
		{long: "stats"},
		{long: "outbuf", value: true},

		// comparison
		{long: "checksum", short: 'c'},
		{long: "ignore-times", short: 'I'},
		{long: "checksum-choice", value: true},
		{long: "cc", value: true},
		{long: "checksum-seed", value: true},
		{long: "block-size", short: 'B', value: true},
		{long: "fuzzy", short: 'y'},
		{long: "dry-run", short: 'n'},

		// which files
		{long: "recursive", short: 'r'},
		{long: "inc-recursive"},
		{long: "i-r"},
		{long: "implied-dirs"}, // without effect unless --relative is given
		{long: "i-d"},
		{long: "cvs-exclude", short: 'C'},
		{long: "filter", short: 'f', value: true, values: checkFilter},
		{short: 'F'},
		{long: "exclude", value: true},
		{long: "exclude-from", value: true, values: checkRuleFile},
		{long: "include", value: true},
		{long: "include-from", value: true, values: checkRuleFile},
		{long: "from0", short: '0'},
		{long: "prune-empty-dirs", short: 'm'},

		// which attributes
		{long: "archive", short: 'a'},
		{long: "links", short: 'l'},
		{long: "hard-links", short: 'H'},
		{long: "perms", short: 'p'},
		{long: "executability", short: 'E'},
		{long: "acls", short: 'A'},
		{long: "xattrs", short: 'X'},
		{long: "owner", short: 'o'},
		{long: "group", short: 'g'},
		{long: "devices"},
		{long: "specials"},
		{short: 'D'},
		{long: "times", short: 't'},
		{long: "atimes", short: 'U'},
		{long: "open-noatime"},
		{long: "crtimes", short: 'N'},
		{long: "super"},
		{long: "fake-super"},
		{long: "numeric-ids"},

		// how it is written
		{long: "sparse", short: 'S'},
		{long: "preallocate"},
		{long: "partial"},
		{long: "fsync"},
		{long: "delete"},
		{long: "del"},
		{long: "delete-before"},
		{long: "delete-during"},
		{long: "delete-delay"},
		{long: "delete-after"},
		{long: "delete-excluded"},
		{long: "force"},
		{long: "max-alloc", value: true},
		{long: "confine-root", value: true},

		// the connection
		{long: "rsh", short: 'e', value: true},
		{long: "rsync-path", value: true},
		{long: "remote-option", short: 'M', value: true, values: checkRemoteOption},
		{long: "compress", short: 'z'},
		{long: "new-compress"},
		{long: "old-compress"},
		{long: "compress-choice", value: true},
		{long: "zc", value: true},
		{long: "compress-level", value: true},
		{long: "zl", value: true},
		{long: "compress-threads", value: true},
		{long: "zt", value: true},
		{long: "skip-compress", value: true},
		{long: "secluded-args", short: 's'},
		{long: "protect-args"},
		{long: "timeout", value: true},
		{long: "contimeout", value: true},
		{long: "bwlimit", value: true},
		{long: "address", value: true},
		{long: "port", value: true},
		{long: "sockopts", value: true},
		{long: "blocking-io"},
		{long: "password-file", value: true},
		{long: "early-input", value: true},
		{long: "ipv4", short: '4'},
		{long: "ipv6", short: '6'},
	}
}

func refusedRules() []rule {
	return []rule{
		{long: "remove-source-files", refuse: altersSource},
		{long: "remove-sent-files", refuse: altersSource},

		{long: "backup", short: 'b', refuse: writesOutside, hint: "every backup is kept as a whole already"},
		{long: "backup-dir", value: true, refuse: writesOutside, hint: "every backup is kept as a whole already"},
		{long: "suffix", value: true, refuse: writesOutside},
		{long: "partial-dir", value: true, refuse: writesOutside},
		{long: "delay-updates", refuse: writesOutside, hint: "a backup appears whole or not at all already"},
		{long: "temp-dir", short: 'T', value: true, refuse: writesOutside},
		{long: "log-file", value: true, refuse: writesOutside, hint: logsAlready},
		{long: "log-file-format", value: true, refuse: writesOutside, hint: logsAlready},
		{long: "write-batch", value: true, refuse: writesOutside},
		{long: "only-write-batch", value: true, refuse: writesOutside},
		{long: "write-devices", refuse: writesOutside},
		{long: "mkpath", refuse: writesOutside},

		{long: "read-batch", value: true, refuse: notACopy},
		{long: "files-from", value: true, refuse: notACopy, hint: "choose files with --filter, --include and --exclude"},
		{long: "relative", short: 'R', refuse: notACopy},
		{long: "dirs", short: 'd', refuse: notACopy},
		{long: "old-dirs", refuse: notACopy},
		{long: "old-d", refuse: notACopy},
		{long: "link-dest", value: true, refuse: notACopy, hint: sharesAlready},
		{long: "copy-dest", value: true, refuse: notACopy, hint: sharesAlready},
		{long: "compare-dest", value: true, refuse: notACopy, hint: sharesAlready},
		{long: "copy-links", short: 'L', refuse: unsafeLinks},
		{long: "copy-unsafe-links", refuse: unsafeLinks},
		{long: "copy-dirlinks", short: 'k', refuse: unsafeLinks},
		{long: "keep-dirlinks", short: 'K', refuse: unsafeLinks},
		{long: "insecure-links", refuse: unsafeLinks},
		{long: "trust-sender", refuse: unsafeLinks},
		{long: "munge-links", refuse: notACopy},
		{long: "copy-devices", refuse: notACopy},

		{long: "chmod", value: true, refuse: altersPerms, hint: changeRestored},
		{long: "chown", value: true, refuse: altersOwners, hint: changeRestored},
		{long: "usermap", value: true, refuse: altersOwners, hint: changeRestored},
		{long: "groupmap", value: true, refuse: altersOwners, hint: changeRestored},
		{long: "copy-as", value: true, refuse: altersOwners}, // in a local copy the receiver loses root, too
		{long: "omit-dir-times", short: 'O', refuse: altersTimes},
		{long: "omit-link-times", short: 'J', refuse: altersTimes},
		// Up to protocol 30 times are whole seconds; rsync 3.5.0 then copies them without their fraction and exits with
		// 0.
		{long: "protocol", value: true, refuse: altersTimes, hint: "rsync agrees with an older one by itself"},
		{long: "iconv", value: true, refuse: altersNames, hint: changeRestored},
		// The receiver skips such a link but does not delete an older entry in its place.
		{long: "safe-links", refuse: "symlinks would be missing, or stay as they were in the last backup", hint: "exclude them by name"},

		{long: "existing", refuse: notACopy},
		{long: "ignore-non-existing", refuse: notACopy},
		{long: "ignore-existing", refuse: keepsStale},
		{long: "update", short: 'u', refuse: keepsStale},
		{long: "size-only", refuse: keepsStale},
		{long: "modify-window", short: '@', value: true, refuse: keepsStale},
		{long: "append", refuse: keepsStale},
		{long: "append-verify", refuse: keepsStale},
		{long: "max-size", value: true, refuse: keepsStale + " once they grow past the limit", hint: "exclude them by name"},
		{long: "min-size", value: true, refuse: keepsStale + " once they shrink below the limit", hint: "exclude them by name"},
		{long: "stop-after", value: true, refuse: notACopy},
		{long: "time-limit", value: true, refuse: notACopy}, // the former name of stop-after
		{long: "stop-at", value: true, refuse: notACopy},

		{long: "ignore-errors", refuse: "files that could not be read would be deleted from the backup"},
		{long: "ignore-missing-args", refuse: hidesFailure},
		{long: "delete-missing-args", refuse: hidesFailure},

		{long: "list-only", refuse: copiesNothing},
		{long: "help", refuse: copiesNothing},
		{long: "version", short: 'V', refuse: copiesNothing},

		{long: "inplace", refuse: ourFlag, hint: "only changed blocks are written already, unless --no-inplace is given before --"},
		{long: "whole-file", short: 'W', refuse: ourFlag, hint: "give --no-inplace before --"},

		{long: "one-file-system", short: 'x', refuse: ourFlag, hint: "give -x before --"},
		// As --no-devices on the receiver's side.
		{long: "drop-D", refuse: keepsStale},

		{long: "verbose", short: 'v', refuse: saysNames, hint: "give -v before --; " + showChanges},
		{long: "itemize-changes", short: 'i', refuse: saysNames, hint: showChanges},
		{long: "out-format", value: true, refuse: saysNames, hint: showChanges},
		{long: "log-format", value: true, refuse: saysNames, hint: showChanges}, // the former name of out-format
		{long: "info", value: true, refuse: saysNames, hint: showChanges},
		{long: "debug", value: true, refuse: saysNames},

		{long: "max-delete", value: true, refuse: ourFlag, hint: "use --max-delete-percent"},
		{long: "stderr", value: true, refuse: breaksParsing},
		{long: "msgs2stderr", refuse: breaksParsing},
		{long: "human-readable", short: 'h', refuse: breaksParsing, hint: "sizes are printed with units already"},
		{long: "quiet", short: 'q', refuse: breaksParsing, hint: "give -q before --"},
		{long: "progress", refuse: breaksParsing, hint: showsProgress},
		{short: 'P', refuse: breaksParsing, hint: showsProgress + ", and an interrupted backup is resumed"},
		{long: "8-bit-output", short: '8', refuse: rawBytes},
		{long: "old-args", refuse: unprotected},

		{long: "server", refuse: notAClient},
		{long: "sender", refuse: notAClient},
		{long: "daemon", refuse: notAClient},
		{long: "config", value: true, refuse: notAClient},
		{long: "dparam", value: true, refuse: notAClient},
		{long: "detach", refuse: notAClient},
		{long: "no-detach", refuse: notAClient},
	}
}

// negatedRules lists the --no-OPTION forms. Features that the other side may lack can be switched off: ACLs, xattrs,
// hard links, devices and specials. Permissions, owners and times cannot: every file has them, and unchanged files are
// recognised by their times.
func negatedRules() []rule {
	refused := []struct{ reason, names string }{
		{altersPerms, "no-perms no-p"},
		{altersOwners, "no-owner no-o no-group no-g no-numeric-ids no-super"},
		{notACopy, "no-recursive no-r no-links no-l"},
		{keepsStale + ", or be sent again every time", "no-times no-t"},
		{"a resumed backup may have to be compared by checksum", "no-checksum no-c"},
		{keepsStale, "no-D no-devices no-specials"}, // a file that became a device would stay a file
		{ourFlag, "no-inplace no-whole-file no-W no-one-file-system no-x"},
		{unprotected, "no-secluded-args no-protect-args no-s"},
		{breaksParsing, "no-progress"},
	}
	var list []rule
	for _, group := range refused {
		for name := range strings.FieldsSeq(group.names) {
			list = append(list, rule{long: name, refuse: group.reason})
		}
	}
	allowed := "no-8 no-8-bit-output no-acls no-A no-append no-atimes no-U no-backup no-blocking-io no-bwlimit no-compress no-z " +
		"no-contimeout no-crtimes no-N no-d no-dirs no-delay-updates no-force no-from0 no-fuzzy no-y " +
		"no-h no-human-readable no-hard-links no-H no-i no-itemize-changes no-i-d no-implied-dirs no-i-r no-inc-recursive no-iconv " +
		"no-ignore-errors no-insecure-links no-m no-prune-empty-dirs no-mkpath no-motd no-munge-links no-msgs2stderr " +
		"no-old-args no-omit-dir-times no-O no-omit-link-times no-J no-open-noatime no-partial " +
		"no-relative no-R no-sparse no-S no-timeout no-v no-verbose no-write-devices no-xattrs no-X"
	for name := range strings.FieldsSeq(allowed) {
		list = append(list, rule{long: name})
	}
	return list
}
