package rsyncexec

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckExtra(t *testing.T) {
	tests := []struct {
		args    string // separated by "|"
		refused string // ExtraError.Arg, "" when allowed
	}{
		{"--exclude=.cache", ""},
		{"--exclude|.cache", ""},
		{"--exclude|--remove-source-files", ""}, // a value
		{"-n", ""},
		{"-zn", ""},
		{"--dry-run|-z", ""},
		{"-aze|ssh -p 1", ""},
		{"-essh -p 1|-z", ""},
		{"-f|- *.o|--filter=+ /x", ""},
		{"-B1024", ""},
		{"-B=1024", ""},
		{"-ySH", ""},
		{"--preallocate|--no-acls|--no-A", ""},
		{"-M--bwlimit=5", ""},
		{"--delete-after", ""},
		{"--rsync-path=sudo rsync", ""},

		{"/other/dest", "/other/dest"},
		{"-z|dest", "dest"},
		{"", ""},
		{"-", "-"},
		{"--", "--"},
		{"-z|--|x", "--"},
		{"-e|ssh|x", "x"},
		{"--exclude", "--exclude"},
		{"-ze", "-e"},
		{"--checksum=yes", "--checksum=yes"},
		{"--frobnicate", "--frobnicate"},
		{"-Z", "-Z"},
		{"-zé", "-\xc3"},
		{"--remove-source-files", "--remove-source-files"},
		{"--remove-sent-files", "--remove-sent-files"},
		{"-zb", "-b"},
		{"--backup-dir=/x", "--backup-dir"},
		{"--backup-dir|/x", "--backup-dir"},
		{"--suffix=x", "--suffix"},
		{"--partial-dir=x", "--partial-dir"},
		{"--delay-updates", "--delay-updates"},
		{"-T/tmp", "-T"},
		{"--temp-dir=/tmp", "--temp-dir"},
		{"--log-file=/x", "--log-file"},
		{"--log-file-format=x", "--log-file-format"},
		{"--daemon", "--daemon"},
		{"--server", "--server"},
		{"--sender", "--sender"},
		{"--config=/x", "--config"},
		{"--read-batch=x", "--read-batch"},
		{"--write-batch=x", "--write-batch"},
		{"--only-write-batch=x", "--only-write-batch"},
		{"--files-from=x", "--files-from"},
		{"-zR", "-R"},
		{"-d", "-d"},
		{"--no-recursive", "--no-recursive"},
		{"--no-r", "--no-r"},
		{"--no-l", "--no-l"},
		{"--no-times", "--no-times"},
		{"--link-dest=/x", "--link-dest"},
		{"--copy-dest=/x", "--copy-dest"},
		{"--compare-dest=/x", "--compare-dest"},
		{"--existing", "--existing"},
		{"--ignore-non-existing", "--ignore-non-existing"},
		{"--ignore-existing", "--ignore-existing"},
		{"-u", "-u"},
		{"--size-only", "--size-only"},
		{"--chmod=0777", "--chmod"},
		{"--chmod|0777", "--chmod"},
		{"--chmod", "--chmod"},
		{"--chmo=0777", "--chmo"}, // rsync takes no abbreviations
		{"--exclude|--chmod=0777|--chown=a:b", "--chown"},
		{"-zO", "-O"},
		{"-aJz", "-J"},
		{"-e|-O", ""}, // a value
		{"-@1", "-@"},
		{"--modify-window=1", "--modify-window"},
		{"--append", "--append"},
		{"--append-verify", "--append-verify"},
		{"--max-size=1g", "--max-size"},
		{"--list-only", "--list-only"},
		{"--help", "--help"},
		{"-h", "-h"},
		{"-V", "-V"},
		{"-L", "-L"},
		{"-k", "-k"},
		{"-K", "-K"},
		{"--trust-sender", "--trust-sender"},
		{"--insecure-links", "--insecure-links"},
		{"--inplace", "--inplace"},
		{"--no-inplace", "--no-inplace"},
		{"-W", "-W"},
		{"--no-W", "--no-W"},
		{"--ignore-errors", "--ignore-errors"},
		{"--ignore-missing-args", "--ignore-missing-args"},
		{"--stop-after=5", "--stop-after"},
		{"--stop-at=x", "--stop-at"},
		{"--old-args", "--old-args"},
		{"--no-s", "--no-s"},
		{"--no-checksum", "--no-checksum"},
		{"-P", "-P"},
		{"--progress", "--progress"},
		{"-q", "-q"},
		{"-8", "-8"},
		{"-zv", "-v"},
		{"-i", "-i"},
		{"--info=del", "--info"},
		{"--info|nonreg0", "--info"},
		{"--out-format=%n", "--out-format"},
		{"--drop-D", "--drop-D"},
		{"-x", "-x"},
		{"--exclude-from=-", "--exclude-from -"},
		{"--include-from|/dev/stdin", "--include-from /dev/stdin"},
		{"--exclude-from=/dev/fd/63", "--exclude-from /dev/fd/63"},
		{"-f. -", "-f -"},
		{"-f|merge,e_-", "-f -"},
		{"--filter=P *", "--filter=P *"},
		{"-fprotect,! x", "-f=protect,! x"},
		{"-f|-r x", "-f=-r x"},
		{"-f:r .rules", "-f=:r .rules"},
		{"-f|: -|-f|-s x|-f|H x|-f|R x|-f|+r x", ""},
		{"-M--remove-source-files", "-M --remove-source-files"},
		{"-zM|--log-file=/x", "-M --log-file=/x"},
		{"--remote-option=/x", "--remote-option /x"},
		{"-M--dry-run", "-M --dry-run"}, // rsync 3.5.0 copies nothing then, and exits with 0
		{"-M-n", "-M -n"},
		{"-M--super|-M|--fake-super", ""},
		{"-M--no-super", "-M --no-super"},
		{"-M--chmod=0777", "-M --chmod=0777"},
		{"-M--copy-as=a", "-M --copy-as=a"},
		{"-M--exclude=*", "-M --exclude=*"},
		{"--max-delete=10", "--max-delete"},
		{"--stderr=all", "--stderr"},
		{"--msgs2stderr", "--msgs2stderr"},
		{"--write-devices", "--write-devices"},
		{"--mkpath", "--mkpath"},
	}
	for _, test := range tests {
		var args []string
		if test.args != "" {
			args = strings.Split(test.args, "|")
		}
		err := CheckExtra(args)
		var extra *ExtraError
		switch {
		case test.refused == "" && err != nil:
			t.Errorf("%q: %v", args, err)
		case test.refused != "" && (!errors.As(err, &extra) || extra.Arg != test.refused || extra.Reason == ""):
			t.Errorf("%q: got %v, want a refusal of %s", args, err, test.refused)
		}
	}
	if err := CheckExtra([]string{""}); err == nil {
		t.Error("an empty argument is the working directory for rsync, but was allowed")
	}
}

func TestDryRunAsked(t *testing.T) {
	tests := map[string]bool{
		"": false, "-n": true, "-vn": true, "--dry-run": true, "-z|-S|-an": true,
		"--exclude|-n": false, "-e|-n": false, "-en": false, "-f-n": false, "-z|x|-n": false,
	}
	for text, want := range tests {
		var args []string
		if text != "" {
			args = strings.Split(text, "|")
		}
		if got := DryRunAsked(args); got != want {
			t.Errorf("%q: %v, want %v", args, got, want)
		}
	}
}

// A newer rsync whose options take values differently fails here.
func TestExtraTableKnowsWhichOptionsOfTheInstalledRsyncTakeAValue(t *testing.T) {
	for _, o := range helpOptions(t) {
		r := rule{}
		if long, ok := strings.CutPrefix(o.name, "--"); ok {
			r = longRule(long)
		} else {
			r = shortRule(o.name[1])
		}
		if r.unknown() {
			t.Errorf("%s is not in the table", o.name)
		} else if r.value != o.value {
			t.Errorf("%s: the table says that it takes a value: %v", o.name, r.value)
		}
	}
}

func TestExtraTableHasNoDuplicates(t *testing.T) {
	long, short := map[string]bool{}, map[byte]bool{}
	for _, r := range rules() {
		if r.long != "" && long[r.long] || r.short != 0 && short[r.short] {
			t.Errorf("--%s -%c stands there twice", r.long, r.short)
		}
		long[r.long], short[r.short] = true, true
	}
}
