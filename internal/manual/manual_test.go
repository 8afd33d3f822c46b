package manual

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPage(t *testing.T) {
	p := New("some-thing", 8, "does it", "v1.0", time.Date(2026, 11, 29, 1, 0, 0, 0, time.FixedZone("", 3*3600)))
	p.Heading("Usage")
	p.Help(`
First it's "so",
.then so.

EXAMPLE:

    some-thing \x ~/.y
    .z

    'a' -- ü

    b
`)
	p.Item("-n, --dry-run", "Only look.", "Twice.")
	want := `.TH "SOME\-THING" 8 "2026-11-28" "rsbtbackup v1.0"
.nh
.ad l
.SH "NAME"
some\-thing \- does it
.SH "USAGE"
First it\(aqs \(dqso\(dq, .then so.
.PP
\fBEXAMPLE:\fR
.PP
.RS 4
.nf
some\-thing \ex \(ti/.y
\&.z
\&
\(aqa\(aq \-\- \[u00FC]
\&
b
.fi
.RE
.TP
\fB\-n, \-\-dry\-run\fR
Only look.
.br
Twice.
`
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestFootHasRoom: a version made of a commit is longer than the foot of 80 columns has room for.
func TestFootHasRoom(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":                               "v1.2.3",
		"v1.2.3-rc.1":                          "v1.2.3-rc.1",
		"(devel)":                              "(devel)",
		"v0.0.0-20261129033510-0123456789ab":   "0123456789ab",
		"v1.2.4-0.20261129033510-0123456789ab": "0123456789ab",
		"v1.2.4-rc.1.0.20261129033510-0123456789ab+dirty": "0123456789ab+dirty",
	} {
		if got := short(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// TestTextIsNoRoffRequest: a line that wraps right before a dot is text.
func TestTextIsNoRoffRequest(t *testing.T) {
	p := &Page{}
	p.Paragraph(strings.Repeat("words ", 13) + ".so /etc/passwd")
	if text := p.String(); strings.Contains(text, "\n.so") || !strings.Contains(text, "\n\\&.so /etc/passwd\n") {
		t.Error(text)
	}
}
