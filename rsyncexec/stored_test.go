package rsyncexec

import (
	"slices"
	"strings"
	"testing"
)

func TestParseStored(t *testing.T) {
	tests := []struct {
		args          string
		local, remote Stored // for a source of that kind
	}{
		{"", Stored{}, Stored{}},
		{"--exclude=--fake-super -z", Stored{}, Stored{}},
		{"--one-file-system --fake-super", Stored{FakeSuper: true}, Stored{FakeSuper: true}},
		{"--fake-super --super", Stored{}, Stored{}},
		{"-M--fake-super", Stored{FakeSuper: true}, Stored{}},
		{"-M --fake-super", Stored{FakeSuper: true}, Stored{}},
		{"--remote-option=--fake-super", Stored{FakeSuper: true}, Stored{}},
		{"--fake-super -M--super", Stored{}, Stored{FakeSuper: true}},
		{"--fake-super -M--bwlimit=9", Stored{FakeSuper: true}, Stored{FakeSuper: true}},
		{"--no-acls --no-X --no-H", Stored{NoACLs: true, NoXattrs: true, NoHardLinks: true}, Stored{NoACLs: true, NoXattrs: true, NoHardLinks: true}},
		{"--no-A -zAU", Stored{Atimes: true}, Stored{Atimes: true}},
		{"--atimes --no-U", Stored{}, Stored{}},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		if got := ParseStored(args, true); got != tt.local {
			t.Errorf("%q from a local source: %+v, want %+v", tt.args, got, tt.local)
		}
		if got := ParseStored(args, false); got != tt.remote {
			t.Errorf("%q from a remote source: %+v, want %+v", tt.args, got, tt.remote)
		}
	}
}

func TestExcluded(t *testing.T) {
	tests := []struct {
		args      []string
		patterns  []string
		otherwise bool
	}{
		{nil, nil, false},
		{[]string{"--exclude=/cache", "--exclude", "a b"}, []string{"/cache", "a b"}, false},
		{[]string{"-z", "--fake-super", "-e", "ssh -p 2", "-M--fake-super", "--no-acls", "-AXHD"}, nil, false},
		{[]string{"--one-file-system"}, nil, true},
		{[]string{"--exclude=a", "--filter=- b", "-f", "exclude /c d"}, []string{"a", "b", "/c d"}, false},
		{[]string{"--filter=-s b"}, nil, true},
		{[]string{"--filter=- - b"}, nil, true},
		{[]string{"--filter=+ b"}, nil, true},
		{[]string{"--filter=P b"}, nil, true},
		{[]string{"--filter=. /b"}, nil, true},
		{[]string{"--exclude=+ a", "--exclude=*"}, []string{"*"}, true},
		{[]string{"--exclude=!"}, nil, true},
		{[]string{"--exclude-from=/x"}, nil, true},
		{[]string{"--include=a"}, nil, true},
		{[]string{"-C"}, nil, true},
		{[]string{"-F"}, nil, true},
		{[]string{"-m"}, nil, true},
		{[]string{"--confine-root=/x"}, nil, true},
	}
	for _, tt := range tests {
		patterns, otherwise := Excluded(tt.args)
		if !slices.Equal(patterns, tt.patterns) || otherwise != tt.otherwise {
			t.Errorf("%q: %q %v, want %q %v", tt.args, patterns, otherwise, tt.patterns, tt.otherwise)
		}
	}
}
