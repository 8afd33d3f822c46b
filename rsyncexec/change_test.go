package rsyncexec

import "testing"

func TestParseChange(t *testing.T) {
	tests := []struct {
		line string
		want Change
		ok   bool
	}{
		{"change: >f+++++++++ etc/passwd", Change{">f+++++++++", "etc/passwd"}, true},
		{"change: cd+++++++++ etc/", Change{"cd+++++++++", "etc/"}, true},
		{"change: *deleting   old name/", Change{"*deleting", "old name/"}, true},
		{`change: >f.st...... new\#012line \#303\#274 \#134#012`, Change{">f.st......", "new\nline ü \\#012"}, true},
		{`change: cL+++++++++ half \#01 \#999 \#777 \`, Change{"cL+++++++++", `half \#01 \#999 \#777 \`}, true},
		{"change: hf+++++++++ Number of files: 3", Change{"hf+++++++++", "Number of files: 3"}, true},
		{"Number of files: 303 (reg: 301)", Change{}, false},
		{"created directory /x", Change{}, false},
		{"sending incremental file list", Change{}, false},
		{"change: >f+++++++++ ", Change{}, false},
		{"", Change{}, false},
	}
	for _, tt := range tests {
		got, ok := ParseChange(tt.line)
		if got != tt.want || ok != tt.ok {
			t.Errorf("ParseChange(%q) = %+v, %v, want %+v, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

func TestParseSkipped(t *testing.T) {
	for line, want := range map[string]string{
		`skipping non-regular file "dev/null"`:           "dev/null",
		`skipping non-regular file "a\#012"b"`:           "a\n\"b",
		`skipping non-regular file "cut`:                 "",
		`IO error encountered -- skipping file deletion`: "",
	} {
		if got, ok := ParseSkipped(line); ok != (want != "") || ok && got != want {
			t.Errorf("ParseSkipped(%q) = %q, %v, want %q", line, got, ok, want)
		}
	}
}

func FuzzParseSkipped(f *testing.F) {
	f.Add(`skipping non-regular file "a\#012"`)
	f.Fuzz(func(t *testing.T, line string) {
		if path, ok := ParseSkipped(line); ok && len(path) >= len(line) {
			t.Errorf("%q: %q", line, path)
		}
	})
}

func FuzzParseChange(f *testing.F) {
	f.Add(`change: >f+++++++++ a\#012`)
	f.Fuzz(func(t *testing.T, line string) {
		c, ok := ParseChange(line)
		if ok && (c.Code == "" || c.Path == "" || len(c.Path) > len(line)) {
			t.Errorf("%q: %+v", line, c)
		}
	})
}

func TestParseBlocked(t *testing.T) {
	if path, ok := ParseBlocked(`could not make way for new regular file: etc/a: b\#012`); !ok || path != "etc/a: b\n" {
		t.Errorf("%q %v", path, ok)
	}
	if path, ok := ParseBlocked("could not make way"); ok {
		t.Errorf("%q", path)
	}
}

func TestParseProtocol(t *testing.T) {
	for line, want := range map[string]int{
		"(Client) Protocol versions: remote=30, negotiated=30": 30,
		"(Client) Protocol versions: remote=32, negotiated=31": 31,
		"(Server) Protocol versions: remote=32, negotiated=32": 0,
		"(Client) Protocol versions: remote=32":                0,
		"(Client) Protocol versions: remote=1, negotiated=x":   0,
		"receiving incremental file list":                      0,
	} {
		if got, ok := ParseProtocol(line); got != want && ok || ok != (want > 0) {
			t.Errorf("%q: %d, %v", line, got, ok)
		}
	}
}
