package replica

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// madeFrom writes a side as words name:host:source, oldest first; with "~" it is incomplete. The source may have
// colons.
func madeFrom(side string) []Item {
	var all []Item
	for i, word := range strings.Fields(side) {
		bare := strings.TrimPrefix(word, "~")
		part := append(strings.SplitN(bare, ":", 3), "", "")
		all = append(all, Item{
			Name: part[0], Origin: uuidOf(part[0]), Complete: bare == word, Time: time.Unix(int64(i), 0),
			Made: origin{Host: part[1], Source: part[2]},
		})
	}
	return all
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, from, to, want string }{
		{"an empty target", "a:h:/x", "", ""},
		{"an empty DEST", "", "a:h:/x", ""},
		{"another source", "a:h:/y", "b:h:/x", "TARGET holds backups of /x on h, DEST those of /y on h"},
		{"another host", "a:h:/x", "b:i:/x", "TARGET holds backups of /x on i, DEST those of /x on h"},
		{"the same source", "a:h:/x", "b:h:/x", ""},
		{"a host that is not on record", "a::/x", "b:i:/x", ""},
		{"fetched by two hosts", "a:h:web:/x", "b:i:web:/x", ""},
		{"one that both have", "a:h:/x b:h:/y", "z:h:/z a:h:/x", ""},
		{"an incomplete one that both have", "~a:h:/x b:h:/y", "~a:h:/x c:h:/z", ""},
		{"the source was changed, and nothing is left that both have", "a:h:/x b:h:/y", "c:h:/x", ""},
		{"no record there", "a:h:/y", "b::", ""},
		{"no record here", "a::", "b:h:/x", ""},
		{"the newest complete one counts", "a:h:/y", "b:h:/y ~c:h:/x", ""},
		{"the newest complete one is another", "a:h:/y", "b:h:/y c:h:/x", "TARGET holds backups of /x on h, DEST those of /y on h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := strangers(madeFrom(tt.from), madeFrom(tt.to))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, facts.ErrGuard) || err.Error() != "refused: "+tt.want):
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
