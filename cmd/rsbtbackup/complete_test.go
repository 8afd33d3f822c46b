package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
)

// bashBreaks is COMP_WORDBREAKS as it is by default.
const bashBreaks = " \t\n\"'@><=;|&(:"

func TestReadLine(t *testing.T) {
	for _, tt := range []struct {
		typed string
		fish  bool
		want  typedLine
	}{
		{"", false, typedLine{words: []string{""}}},
		{"r ls", false, typedLine{words: []string{"r", "ls"}}},
		{"  r\t ls  ", false, typedLine{words: []string{"r", "ls", ""}}},
		{`r '' ""`, false, typedLine{words: []string{"r", "", ""}}},
		{"r 2026-11-23-15:3", false, typedLine{words: []string{"r", "2026-11-23-15:3"}, kept: 14}},
		{"r --target=/a:b", false, typedLine{words: []string{"r", "--target=/a:b"}, kept: 12}},
		{`r a\:b`, false, typedLine{words: []string{"r", "a:b"}}},
		{`r "a:b"c`, false, typedLine{words: []string{"r", "a:bc"}}},
		{`r a:b x`, false, typedLine{words: []string{"r", "a:b", "x"}}},
		{`r my\ fi`, false, typedLine{words: []string{"r", "my fi"}}},
		{`r "my fi`, false, typedLine{words: []string{"r", "my fi"}, quote: '"'}},
		{`r 'my fi`, false, typedLine{words: []string{"r", "my fi"}, quote: '\''}},
		{`r a:b"c d`, false, typedLine{words: []string{"r", "a:bc d"}, quote: '"', kept: 3}},
		{`r 'it'\''s`, false, typedLine{words: []string{"r", "it's"}, quote: '\'', kept: 3}},
		{`r "a\"\$\x`, false, typedLine{words: []string{"r", `a"$\x`}, quote: '"'}},
		{`r 'a\`, false, typedLine{words: []string{"r", `a\`}, quote: '\''}},
		{`r 'a\'b\''`, true, typedLine{words: []string{"r", `a'b'`}}},
		{"r \"a\\`", true, typedLine{words: []string{"r", "a\\`"}, quote: '"'}},
		{`r a\`, false, typedLine{words: []string{"r", "a"}}},
		{`r ~/d '~/d' \~/d ~x ~`, false, typedLine{words: []string{"r", "/home/me/d", "~/d", "~/d", "~x", "~"}}},
		{"r ls 2>/dev/nul", false, typedLine{words: []string{"r", "ls", "/dev/nul"}, redirect: true}},
		{"r ls>>log 2>&1 <x y", false, typedLine{words: []string{"r", "ls", "y"}}},
	} {
		l := lexer{breaks: bashBreaks, home: "/home/me", fish: tt.fish}
		if tt.fish {
			l.breaks = ""
		}
		if diff := cmp.Diff(tt.want, l.read(tt.typed), cmp.AllowUnexported(typedLine{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.typed, diff)
		}
	}
}

func TestBashWord(t *testing.T) {
	for _, tt := range []struct{ typed, word, want string }{
		{"r ", "my file", `my\ file`},
		{"r ", "~x~", `\~x~`},
		{"r ", "latest~1", "latest~1"},
		{"r ", "a$(id)`id`", "a\\$\\(id\\)\\`id\\`"},
		{"r 2026-11-23-15:3", "2026-11-23-15:32", "32"},
		{"r --color=al", "--color=always", "always"},
		{`r my\ f`, "my file", `my\ file`},
		{`r "my "f`, "my file", `my\ file`},
		{`r "my f`, "my file", "my file"},
		{`r a:"b`, "a:b c", "b c"},
		{`r 'it`, "it's", `it'\''s`},
		{`r '`, "its'", `its'\'''`},
		{`r "`, `a"$b` + "`\\", "a\\\"\\$b\\`\\\\"},
		{`r "`, `say "hi"`, `say \"hi\""`},
		{`r "`, "hi!", `hi"\!""`},
		{"r ", "日本 ü", `日本\ ü`},
	} {
		line := (&lexer{breaks: bashBreaks}).read(tt.typed)
		if got := line.bashWord(tt.word); got != tt.want {
			t.Errorf("%s to be %s: %s, want %s", tt.typed, tt.word, got, tt.want)
		}
	}
}

// The text that bash puts on the command line is read back as the same word.
func FuzzReadLine(f *testing.F) {
	for _, s := range []string{"", "a b", "it's", `"`, `\`, "~", "a:b=c", "2>x", "!", "\xff", "日本", `'a"b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, fish := range []bool{false, true} {
			l := (&lexer{breaks: bashBreaks, home: "/root", fish: fish}).read(s)
			if len(l.words) == 0 || l.kept > len(l.words[len(l.words)-1]) {
				t.Fatalf("%q is %+v", s, l)
			}
		}
		if !isClean(s) {
			return
		}
		for _, open := range []string{"", "'", `"`} {
			typed := "r " + open
			typed += (&lexer{breaks: bashBreaks}).read(typed).bashWord(s)
			if open != "" && (!strings.HasSuffix(typed, open) || typed == "r "+open) {
				typed += open // as bash does
			}
			l := (&lexer{breaks: bashBreaks}).read(typed)
			if got := l.words[len(l.words)-1]; got != s || l.quote != 0 || len(l.words) != 2 {
				t.Errorf("%q becomes %s, which is %+v", s, typed, l)
			}
		}
	})
}

func model(t *testing.T) *kong.Node {
	t.Helper()
	root, err := wholeGrammar()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestAsk(t *testing.T) {
	root := model(t)
	for _, tt := range []struct {
		typed string
		want  question // but for its choices
		first string   // of them
	}{
		{"", question{completer: theGrammar}, "init"},
		{"-", question{completer: theGrammar, typed: "-"}, "--help"},
		{"-v re", question{completer: theGrammar, typed: "re"}, "init"},
		{"--color ", question{completer: theGrammar}, "auto"},
		{"--color never ", question{completer: theGrammar}, "init"},
		{"help ", question{completer: theGrammar}, "init"},
		{"nonsense ", question{}, ""},
		{"init ", question{completer: directories}, ""},
		{"init /b ", question{given: given{"DEST": "/b"}}, ""},
		{"backup /s", question{completer: directories, typed: "/s"}, ""},
		{"backup host:/s", question{typed: "host:/s"}, ""},
		{"backup ./a:b", question{completer: directories, typed: "./a:b"}, ""},
		{"backup /etc /b --exclude-from ", question{completer: files, given: given{"SRC": "/etc", "DEST": "/b"}}, ""},
		{"backup /etc /b --exclude-from=x", question{completer: files, head: "--exclude-from=", typed: "x", given: given{"SRC": "/etc", "DEST": "/b"}}, ""},
		{"backup /etc /b --exclude ", question{given: given{"SRC": "/etc", "DEST": "/b"}}, ""},
		{"backup /etc /b --partial=", question{completer: theGrammar, head: "--partial=", given: given{"SRC": "/etc", "DEST": "/b"}}, "publish"},
		{"backup --no-inplace ", question{completer: directories}, ""},
		{"backup /etc /b -- --exc", question{typed: "--exc", dashes: true, given: given{"SRC": "/etc", "DEST": "/b"}}, ""},
		{"ls /b ", question{completer: backups, given: given{"DEST": "/b"}}, ""},
		{"ls -q /b --json 2026", question{completer: backups, typed: "2026", given: given{"DEST": "/b"}}, ""},
		{"ls --lock-wait 5 /b ", question{completer: backups, given: given{"DEST": "/b"}}, ""},
		{"snapshots ", question{completer: directories}, ""},
		{"ls /b latest ssh/", question{completer: paths, typed: "ssh/", given: given{"DEST": "/b", "BACKUP": "latest"}}, ""},
		{"ls /b latest -- -d", question{completer: paths, typed: "-d", dashes: true, given: given{"DEST": "/b", "BACKUP": "latest"}}, ""},
		{"ls /b latest x ", question{given: given{"DEST": "/b", "BACKUP": "latest", "PATH": "x"}}, ""},
		{"rm /b x ", question{completer: backups, given: given{"DEST": "/b", "BACKUP": "x"}}, ""},
		{"cat /b latest a b", question{completer: paths, typed: "b", given: given{"DEST": "/b", "BACKUP": "latest", "PATH": "a"}}, ""},
		{"diff /b x ", question{completer: backups, given: given{"DEST": "/b", "A": "x"}}, ""},
		{"diff /b x y p", question{completer: paths, typed: "p", given: given{"DEST": "/b", "A": "x", "B": "y"}}, ""},
		{"history /b p", question{completer: paths, typed: "p", given: given{"DEST": "/b"}}, ""},
		{"restore -nt /x ", question{completer: directories}, ""},
		{"restore -nt/x ", question{completer: directories}, ""},
		{"restore -nt ", question{completer: directories}, ""},
		{"restore --overwrite=if", question{completer: theGrammar, head: "--overwrite=", typed: "if"}, "always"},
		{"restore --target web:", question{typed: "web:"}, ""},
		{"restore --delete=", question{typed: "--delete="}, ""},
		{"restore /b latest a -n b", question{typed: "b", given: given{"DEST": "/b", "BACKUP": "latest", "PATH": "a"}}, ""},
		{"rotate /b 3", question{typed: "3", given: given{"DEST": "/b"}}, ""},
		{"completion ", question{completer: theGrammar}, "bash"},
	} {
		got := ask(root, strings.Split(tt.typed, " "))
		first := ""
		if len(got.choices) > 0 {
			first = got.choices[0].text
		}
		if tt.want.given == nil {
			tt.want.given = given{}
		}
		got.choices = nil
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(question{}, candidate{})); diff != "" || first != tt.first {
			t.Errorf("%s: first choice %q, want %q (-want +got):\n%s", tt.typed, first, tt.first, diff)
		}
	}
}

// A value that is new to the grammar has its place in completers.
func TestEveryValueHasACompleter(t *testing.T) {
	used := map[string]bool{}
	for _, verb := range model(t).Leaves(true) {
		for _, argument := range verb.Positional {
			used[argument.Name] = used[argument.Name] || argument.Enum == ""
		}
		for _, flag := range slices.Concat(verb.AllFlags(true)...) {
			if takesValue(flag) && flag.Enum == "" && flag.Name != "overwrite" {
				used[flag.PlaceHolder] = true
			}
		}
	}
	for name, is := range used {
		if _, ok := completers[name]; is && !ok {
			t.Errorf("%s has no completer", name)
		}
	}
	for name := range completers {
		if !used[name] {
			t.Errorf("nothing is called %s", name)
		}
	}
}

func TestCandidates(t *testing.T) {
	root := model(t)
	for _, tt := range []struct {
		typed string
		want  []string
	}{
		{"pi", []string{"pin"}},
		{"un", []string{"unpin"}},
		{"config s", []string{"show", "schema"}},
		{"config show --onl", nil},
		{"config check --onl", []string{"--online"}},
		{"__", nil},
		{"backup --no", []string{"--no-inplace"}},
		{"backup --inp", []string{"--inplace"}},
		{"backup --keep-w", []string{"--keep-weekly=", "--keep-within=", "--keep-within-hourly=", "--keep-within-daily=", "--keep-within-weekly=", "--keep-within-monthly=", "--keep-within-yearly="}},
		{"ls --color=a", []string{"--color=auto", "--color=always"}},
		{"ls --color n", []string{"never"}},
		{"ls /none ", nil},
		{"ls /none latest ", nil},
	} {
		var got []string
		for _, c := range candidates(t.Context(), ask(root, strings.Split(tt.typed, " "))) {
			got = append(got, c.text)
			if c.note != clean(c.note) {
				t.Errorf("%s: %q", c.text, c.note)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.typed, got, tt.want)
		}
	}
}

func TestBackupChoices(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	list := []rsbtbackup.Snapshot{
		{Name: "2026-11-21-09:00", Time: now.AddDate(0, 0, -2), Status: rsbtbackup.Incomplete},
		{Name: "2026-11-22-09:00", Time: now.AddDate(0, 0, -1), Status: rsbtbackup.Complete},
		{Name: "2026-11-23-08:59", Time: now.Add(-time.Minute), Status: rsbtbackup.Complete, Current: true},
	}
	names := []candidate{
		{"2026-11-23-08:59", "1m, complete, current"},
		{"2026-11-22-09:00", "1d 0h, complete"},
		{"2026-11-21-09:00", "2d 0h, incomplete"},
	}
	for _, tt := range []struct {
		typed string
		list  []rsbtbackup.Snapshot
		want  []candidate
	}{
		{"", nil, nil},
		{"", list, append([]candidate{{"latest", "2026-11-23-08:59"}}, names...)},
		{"latest~", list, append([]candidate{{"latest", "2026-11-23-08:59"}, {"latest~1", "2026-11-22-09:00"}, {"latest~2", "2026-11-21-09:00"}}, names...)},
	} {
		if got := backupChoices(tt.list, tt.typed, now); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.typed, got, tt.want)
		}
	}
}

func TestFew(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"", ""},
		{"a b c", "a b c"},
		{"a1 a2 a3 b", "a1 a2 b"},
	} {
		if got := strings.Join(few(strings.Fields(tt.names), 3), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.names, got, tt.want)
		}
	}
}

func TestFirstSentence(t *testing.T) {
	for help, want := range map[string]string{
		"Say what is done.":                           "Say what is done",
		"Wait (90, 10m) for it. Without it it fails.": "Wait (90, 10m) for it",
		"":                   "",
		"About 1.5 m of it.": "About 1.5 m of it",
	} {
		if got := firstSentence(help); got != want {
			t.Errorf("%q: %q, want %q", help, got, want)
		}
	}
}

// The user gets the prompt back even if a disk hangs.
func TestInTime(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	hangs := func(context.Context) []string { <-forever; return nil }
	if got := inTime(t.Context(), time.Millisecond, hangs); got != nil {
		t.Errorf("got %q of what hangs", got)
	}
	quick := func(context.Context) []string { return []string{"words"} }
	if got := inTime(t.Context(), time.Hour, quick); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}
