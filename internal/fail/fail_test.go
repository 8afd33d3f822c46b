package fail

import (
	"errors"
	"io/fs"
	"testing"
)

func TestSeveralErrorsAreCounted(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for _, tt := range []struct {
		errs []error
		want string
	}{
		{[]error{a}, "a"},
		{[]error{a, nil, b}, "a\nb"},
		{[]error{a, b, a, b}, "a\nb\na\nb"},
		{[]error{a, b, a, b, fs.ErrExist}, "a\nb\na\nand 2 more"},
	} {
		err := Several(tt.errs)
		if err.Error() != tt.want || !errors.Is(err, a) {
			t.Errorf("%q, want %q", err, tt.want)
		}
		if last := tt.errs[len(tt.errs)-1]; !errors.Is(err, last) {
			t.Errorf("%q does not match %q", err, last)
		}
	}
	if err := Several([]error{nil}); err != nil {
		t.Errorf("of none: %v", err)
	}
}
