package rsyncexec

import (
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// decision says of options, spelled as in rsync --help, whether they can be passed on. A long option that takes a value
// is written with one.
type decision struct {
	why     string
	allowed bool
	options string
}

// decisions names every option of rsync 3.5.0, and what its help leaves out: deprecated names and --no-OPTION forms.
func decisions() []decision {
	return []decision{
		{"tell more, but no names", true, "--motd --no-motd --stats --outbuf=L -n --dry-run"},
		{"compare more, or with another checksum", true, "-c --checksum -I --ignore-times --checksum-choice=md5 --cc=md5 --checksum-seed=1 -B --block-size=4096 -y --fuzzy"},
		{"what a backup does anyway", true, "-a --archive -r --recursive --inc-recursive --no-inc-recursive --i-r --no-i-r -l --links -H --hard-links -p --perms " +
			"-E --executability -A --acls -X --xattrs -o --owner -g --group -D --devices --specials -t --times --super --numeric-ids --delete --del --force"},
		{"copy more", true, "-U --atimes -N --crtimes"},
		{"attributes in xattrs, where they cannot be set", true, "--fake-super"},
		{"leave out what they name", true, "-C --cvs-exclude -f --filter=H -F --exclude=x --exclude-from=x --include=x --include-from=x -0 --from0 " +
			"-m --prune-empty-dirs"},
		{"leave out what the other side may lack", true, "--no-acls --no-A --no-xattrs --no-X --no-hard-links --no-H"},
		{"when is deleted, and that excluded files are", true, "--delete-before --delete-during --delete-delay --delete-after --delete-excluded"},
		{"tune how it is read and written", true, "--open-noatime -S --sparse --preallocate --partial --fsync --max-alloc=1G"},
		{"stricter about paths", true, "--confine-root=/"},
		{"tune the connection", true, "-e --rsh=ssh --rsync-path=rsync -M --remote-option=--bwlimit=5 -z --compress --new-compress --old-compress --compress-choice=zstd --zc=zstd " +
			"--compress-level=1 --zl=1 --compress-threads=1 --zt=1 --skip-compress=gz -s --secluded-args --protect-args --timeout=9 --contimeout=9 --bwlimit=9 " +
			"--address=::1 --port=873 --sockopts=x --blocking-io --password-file=x --early-input=x -4 --ipv4 -6 --ipv6"},
		{"without effect unless --relative is given", true, "--implied-dirs --no-implied-dirs --i-d --no-i-d"},
		{"undo what is tuned, or is refused anyway", true, "--no-8 --no-8-bit-output --no-append --no-atimes --no-U --no-backup --no-blocking-io --no-bwlimit --no-compress --no-z " +
			"--no-contimeout --no-crtimes --no-N --no-d --no-dirs --no-delay-updates --no-force --no-from0 --no-fuzzy --no-y --no-h --no-human-readable --no-i " +
			"--no-itemize-changes --no-iconv --no-ignore-errors --no-insecure-links --no-m --no-prune-empty-dirs --no-mkpath --no-munge-links --no-msgs2stderr " +
			"--no-old-args --no-omit-dir-times --no-O --no-omit-link-times --no-J --no-open-noatime --no-partial --no-relative --no-R " +
			"--no-sparse --no-S --no-timeout --no-v --no-verbose --no-write-devices"},

		{"alter the source", false, "--remove-source-files --remove-sent-files"},
		{"alter permissions", false, "--chmod=0777 --no-perms --no-p"},
		{"alter owners and groups", false, "--chown=a:b --usermap=a:b --groupmap=a:b --copy-as=a --no-owner --no-o --no-group --no-g --no-numeric-ids --no-super"},
		{"alter times", false, "--no-times --no-t -O --omit-dir-times -J --omit-link-times --protocol=30"},
		{"alter file names", false, "--iconv=utf8,latin1"},
		{"alter links, or drop them", false, "--no-links --no-l -L --copy-links --copy-unsafe-links --safe-links --munge-links -k --copy-dirlinks -K --keep-dirlinks"},
		{"trust links or a sender that should not be", false, "--insecure-links --trust-sender"},
		{"keep what a device, fifo or socket has replaced", false, "--no-devices --no-specials --no-D --drop-D"},
		{"alter what a device is", false, "--copy-devices --write-devices"},
		{"skip files by age, size or existence", false, "-u --update --existing --ignore-non-existing --ignore-existing --max-size=1 --min-size=1"},
		{"compare less", false, "--size-only -@ --modify-window=1 --no-checksum --no-c --append --append-verify"},
		{"copy something else, or elsewhere", false, "--no-recursive --no-r -d --dirs --old-dirs --old-d -R --relative --files-from=x --read-batch=x --mkpath " +
			"--link-dest=x --copy-dest=x --compare-dest=x"},
		{"end before all is copied", false, "--stop-after=1 --time-limit=1 --stop-at=23:59"},
		{"copy nothing", false, "--list-only --help -V --version"},
		{"delete or publish after failures", false, "--ignore-errors --ignore-missing-args --delete-missing-args"},
		{"decide what our own options do", false, "--inplace --no-inplace -W --whole-file --no-whole-file --no-W --max-delete=1 -x --one-file-system --no-one-file-system --no-x"},
		{"leave files of their own", false, "-b --backup --backup-dir=x --suffix=x --partial-dir=x --delay-updates -T --temp-dir=x --log-file=x --log-file-format=x " +
			"--write-batch=x --only-write-batch=x"},
		{"hide what is read here", false, "-q --quiet --stderr=a --msgs2stderr -h --human-readable --progress --no-progress -P"},
		{"print names that could pass for messages", false, "-v --verbose --info=del --debug=del -i --itemize-changes --out-format=%n --log-format=%n"},
		{"unsafe with odd names", false, "-8 --8-bit-output --old-args --no-secluded-args --no-protect-args --no-s"},
		{"not for a client", false, "--server --sender --daemon --config=x --dparam=x --detach --no-detach"},
	}
}

func TestEveryOptionIsDecided(t *testing.T) {
	decided := map[string]bool{}
	for _, d := range decisions() {
		for option := range strings.FieldsSeq(d.options) {
			name, value, valued := strings.Cut(option, "=")
			if decided[name] {
				t.Errorf("%s stands there twice", name)
			}
			decided[name] = true
			for _, args := range spellings(name, value, valued) {
				wantDecided(t, args, name, d)
			}
		}
	}
	for _, r := range rules() {
		if r.long != "" && !decided["--"+r.long] || r.short != 0 && !decided["-"+string(r.short)] {
			t.Errorf("--%s -%c: not decided", r.long, r.short)
		}
	}
	for _, o := range helpOptions(t) {
		if !decided[o.name] {
			t.Errorf("%s of the installed rsync is not decided", o.name)
		}
	}
}

// spellings gives an option alone, behind others, in a cluster, and with its value joined and apart.
func spellings(name, value string, valued bool) [][]string {
	long := strings.HasPrefix(name, "--")
	switch {
	case long && valued:
		return [][]string{{name + "=" + value}, {name, value}, {"-z", name, value}, {"--exclude", "x", name + "=" + value}}
	case long:
		return [][]string{{name}, {"-z", name}, {"-ez", name}}
	case shortRule(name[1]).value:
		value := "1"
		if name == "-M" {
			value = "--super"
		}
		return [][]string{{name + value}, {name + "=" + value}, {name, value}, {"-z" + name[1:], value}, {"-zS" + name[1:] + value}}
	default:
		return [][]string{{name}, {"-zS" + name[1:]}, {name + "z"}, {"-z", name}}
	}
}

func wantDecided(t *testing.T, args []string, name string, d decision) {
	t.Helper()
	err := CheckExtra(args)
	var refused *ExtraError
	switch {
	case d.allowed && err != nil:
		t.Errorf("%q (%s): %v", args, d.why, err)
	case !d.allowed && (!errors.As(err, &refused) || refused.Arg != name || refused.Reason == ""):
		t.Errorf("%q (%s): got %v, want a refusal of %s", args, d.why, err, name)
	}
}

// popt takes no abbreviation of a long option. Should it learn to, none may slip through.
func TestAbbreviatedOptionsAreRefused(t *testing.T) {
	for _, d := range decisions() {
		for option := range strings.FieldsSeq(d.options) {
			name, value, valued := strings.Cut(option, "=")
			short := name[:len(name)-1]
			if !strings.HasPrefix(name, "--") || short == "--" || !longRule(short[2:]).unknown() {
				continue
			}
			if valued {
				short += "=" + value
			}
			if err := CheckExtra([]string{short}); err == nil {
				t.Errorf("%s is let pass", short)
			}
		}
	}
}

// helpOption is one name of an option in rsync --help.
type helpOption struct {
	name  string // with dashes
	value bool
}

func helpOptions(t *testing.T) []helpOption {
	t.Helper()
	help, err := exec.Command("rsync", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(string(help), "\nOptions\n")
	alias := regexp.MustCompile(`\(aka (--[a-z-]+)\)`)
	var found []helpOption
	for line := range strings.SplitSeq(lines, "\n") {
		if !strings.HasPrefix(line, "-") || strings.HasPrefix(line, "--no-OPTION") {
			continue
		}
		spec, about, _ := strings.Cut(line, "  ")
		value := strings.Contains(spec, "=")
		names := strings.FieldsFunc(spec, func(r rune) bool { return r == ' ' || r == ',' })
		for _, m := range alias.FindAllStringSubmatch(about, -1) {
			names = append(names, m[1])
		}
		for _, name := range names {
			name, _, _ = strings.Cut(name, "=")
			if strings.HasPrefix(name, "-") {
				found = append(found, helpOption{name: name, value: value})
			}
		}
	}
	if len(found) < 150 || !slices.Contains(found, helpOption{"--archive", false}) {
		t.Fatalf("only %d options found in rsync --help", len(found))
	}
	return found
}
