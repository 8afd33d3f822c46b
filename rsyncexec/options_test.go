package rsyncexec

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The golden files hold one argument per line, quoted where it has a newline.
func TestArgvGolden(t *testing.T) {
	everything := Options{
		Source: Source{Kind: Shell, User: "backup", Host: "fd00::1", Path: "/srv/it's $HOME*\n"}, Dest: "/proc/self/fd/3",
		HardLinks: true, ACLs: true, Xattrs: true, NumericIDs: true, Inplace: true, Delete: true,
		Checksum: true, DryRun: true, OneFileSystem: true,
		Protect: []string{"- /backup"}, Filter: []string{"merge /etc/rules"}, Exclude: []string{"*.tmp", "-x"}, ExcludeFrom: []string{"/etc/exclude"},
		Bwlimit: "1.5m", Rsh: "ssh -p 2222", Timeout: 1500 * time.Millisecond,
		MaxDelete: new(int64(10)), Extra: []string{"-zS"}, Progress: func(Progress) {}, FileList: true,
	}
	local := Source{Kind: Local, Path: "/srv/data"}
	tests := map[string]Options{
		"zero":              {Source: local, Dest: "/backup"},
		"root-local":        {Source: local, Dest: "/proc/self/fd/3/", HardLinks: true, ACLs: true, Xattrs: true, NumericIDs: true, Inplace: true, Delete: true},
		"user-local":        {Source: local, Dest: "/backup", Xattrs: true, UserXattrs: true},
		"user-shell":        {Source: Source{Kind: Shell, Host: "host", Path: "/home"}, Dest: "/backup", Xattrs: true, UserXattrs: true},
		"whole-file":        {Source: local, Dest: "/backup", WholeFile: true},
		"inplace-whole":     {Source: local, Dest: "/backup", Inplace: true, WholeFile: true},
		"local-odd-path":    {Source: Source{Kind: Local, Path: "/-a:b *\n"}, Dest: "/-e sh:x"},
		"shell-plain":       {Source: Source{Kind: Shell, Host: "host", Path: "/home"}, Dest: "/backup"},
		"shell-home":        {Source: Source{Kind: Shell, Host: "host"}, Dest: "/backup"},
		"daemon":            {Source: Source{Kind: Daemon, Host: "host", Module: "m", Path: "a b"}, Dest: "/backup"},
		"daemon-url":        {Source: Source{Kind: Daemon, Host: "host", Port: "8730", Module: "m"}, Dest: "/backup"},
		"everything-remote": everything,
		"paths": {Source: local, Dest: "/proc/self/fd/3", Paths: []string{"etc/ssh", "-n", "a b*"}, Delete: true, KeepExcluded: true,
			WholeFile: true, Sparse: true, IgnoreTimes: true, Changes: func(Change) {}},
		"files-from":           {Source: local, Dest: "/proc/self/fd/3", FilesFrom: []byte("./\x00./a\x00"), Delete: true, Inplace: true, HardLinks: true},
		"files-from-recursive": {Source: local, Dest: "/target", FilesFrom: []byte{}, Recursive: true, DryRun: true},
		"update":               {Source: local, Dest: "/target", Update: true},
		"fake-super":           {Source: local, Dest: "/target", Xattrs: true, SourceFakeSuper: true, Privileged: true, Atimes: true},
		"fake-user":            {Source: local, Dest: "/target", Xattrs: true, SourceFakeSuper: true},
		"fake-push":            {Source: local, RemoteDest: &Source{Kind: Shell, Host: "b", Path: "/x"}, Xattrs: true, SourceFakeSuper: true},
		"never":                {Source: local, Dest: "/target", IgnoreExisting: true, Protect: []string{"- /a"}, ProtectFrom: "/proc/self/fd/5", Exclude: []string{"b"}},
		"push-shell":           {Source: local, RemoteDest: &Source{Kind: Shell, User: "root", Host: "fd00::1", Path: "/srv/it's new"}, Sparse: true},
		"push-daemon":          {Source: local, RemoteDest: &Source{Kind: Daemon, Host: "host", Module: "m", Path: "sub"}, Paths: []string{"etc"}},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			argv, err := o.Argv()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.Join(argv, "\x00"), "\n", `\n`)
			got = strings.ReplaceAll(got, "\x00", "\n") + "\n"
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				write(t, golden, got)
			}
			if diff := cmp.Diff(read(t, golden), got); diff != "" {
				t.Errorf("argv (-want +got):\n%s", diff)
			}
			operands := slices.Index(argv, "--")
			if operands != len(argv)-2-max(1, len(o.Paths)) {
				t.Errorf("-- stands at %d of %d", operands, len(argv))
			}
		})
	}
}

func TestArgvRefuses(t *testing.T) {
	local := Source{Kind: Local, Path: "/src"}
	tests := map[string]Options{
		"relative source":      {Source: Source{Kind: Local, Path: "src"}, Dest: "/dst"},
		"no source":            {Dest: "/dst"},
		"remote without host":  {Source: Source{Kind: Shell, Path: "/x"}, Dest: "/dst"},
		"relative destination": {Source: local, Dest: "dst"},
		"no destination":       {Source: local},
		"negative timeout":     {Source: local, Dest: "/dst", Timeout: -1},
		"push to a wildcard":   {Source: local, RemoteDest: &Source{Kind: Shell, Host: "b", Path: "/new*"}},
		"push to here":         {Source: local, RemoteDest: &local},
		"push from there":      {Source: Source{Kind: Shell, Host: "a"}, RemoteDest: &Source{Kind: Shell, Host: "b"}},
		"paths over there":     {Source: Source{Kind: Shell, Host: "a"}, Dest: "/dst", Paths: []string{"a"}},
		"path up":              {Source: local, Dest: "/dst", Paths: []string{"../a"}},
		"path is up":           {Source: local, Dest: "/dst", Paths: []string{".."}},
		"absolute path":        {Source: local, Dest: "/dst", Paths: []string{"/a"}},
		"path not clean":       {Source: local, Dest: "/dst", Paths: []string{"a/./b"}},
		"path is everything":   {Source: local, Dest: "/dst", Paths: []string{"."}},
		"empty path":           {Source: local, Dest: "/dst", Paths: []string{""}},
		"list cut off":         {Source: local, Dest: "/dst", FilesFrom: []byte("./a")},
		"list without a dot":   {Source: local, Dest: "/dst", FilesFrom: []byte("a\x00")},
		"comment in a list":    {Source: local, Dest: "/dst", FilesFrom: []byte("./a\x00#b\x00")},
		"nothing in a list":    {Source: local, Dest: "/dst", FilesFrom: []byte("./a\x00\x00")},
		"list leads up":        {Source: local, Dest: "/dst", FilesFrom: []byte("./a/../..\x00")},
		"long path in a list":  {Source: local, Dest: "/dst", FilesFrom: []byte("./" + strings.Repeat("a", 4094) + "\x00")},
		"list for a remote":    {Source: Source{Kind: Shell, Host: "a"}, Dest: "/dst", FilesFrom: []byte("./\x00")},
		"list and paths":       {Source: local, Dest: "/dst", FilesFrom: []byte("./\x00"), Paths: []string{"a"}},
		"NUL in a path":        {Source: local, Dest: "/dst", Paths: []string{"a\x00b"}},
		"NUL in a pattern":     {Source: local, Dest: "/dst", Exclude: []string{"a\x00b"}},
	}
	for name, o := range tests {
		if argv, err := o.Argv(); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: argv %q, error %v", name, argv, err)
		}
		if _, err := Run(t.Context(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: Run says %v", name, err)
		}
	}
	var extra *ExtraError
	if _, err := (Options{Source: local, Dest: "/dst", Extra: []string{"/other"}}).Argv(); !errors.As(err, &extra) {
		t.Errorf("a second destination: %v", err)
	}
}

func TestCheckAliases(t *testing.T) {
	argv := []string{"-a", "--delete", "--", "/src/", "/dst/"}
	tests := []struct {
		line   string
		option string // "" when the line may stand
	}{
		{"", ""},
		{"# rsync alias -a -r", ""},
		{"rsync alias -a -a@-1", ""},
		{"rsync alias -t -t@-1", ""},
		{"rsync alias -a -a --compress", ""},
		{"rsync alias --mirror --delete --force", ""},
		{"other alias -a -r", ""},
		{"rsync alias -a -r", "-a"},
		{"r*nc alias -a -r", "-a"},
		{"* alias -a -r", "-a"},
		{"[ alias -a -r", "-a"},
		{"rsync alias \\\n-a -r", "-a"},
		{"  rsync\talias\t--delete -v", "--delete"},
		{"rsync alias --delete --delete --remove-source-files", "--delete"},
		{"rsync exec --delete /tmp/x", "--delete"},
		{"rsync alias -a -a --exclude=*.tmp", "-a"},
		{"rsync alias -a -a -F", "-a"},
		{"rsync alias -a -a -mz", "-a"},
		{"rsync alias -a -a --no-xattrs", "-a"},
		{"rsync alias -a -a --no-A", "-a"},
		{"rsync alias -a -a --fake-super", "-a"},
		{"rsync alias -a -a -M--fake-super", "-a"},
		{"rsync alias -a -a --compress-choice=zstd --fuzzy", ""},
	}
	for _, test := range tests {
		home := t.TempDir()
		write(t, home+"/.popt", "# mine\n"+test.line+"\n")
		err := checkAliases(argv, home)
		var alias *AliasError
		switch {
		case test.option == "" && err != nil:
			t.Errorf("%q: %v", test.line, err)
		case test.option != "" && (!errors.As(err, &alias) || alias.Option != test.option || alias.Line != 2+strings.Count(test.line, "\n") || alias.File != home+"/.popt"):
			t.Errorf("%q: %v", test.line, err)
		}
	}
	for _, home := range []string{"", "/nonexistent", "/dev/null"} {
		if err := checkAliases(argv, home); err != nil {
			t.Errorf("home %q: %v", home, err)
		}
	}
	if os.Getuid() != 0 {
		home := t.TempDir()
		write(t, home+"/.popt", "rsync alias -a -r\n")
		if err := os.Chmod(home+"/.popt", 0); err != nil {
			t.Fatal(err)
		}
		if err := checkAliases(argv, home); err != nil {
			t.Errorf("an unreadable file: %v", err)
		}
	}
}
