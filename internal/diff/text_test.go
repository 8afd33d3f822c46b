package diff

import (
	"errors"
	"fmt"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestPatchName(t *testing.T) {
	for name, want := range map[string]string{
		"2026-11-23-09:00/ssh/a b": "2026-11-23-09:00/ssh/a b",
		"Größe/東京":                 "Größe/東京",
		"a\nb":                     `"a\nb"`,
		"a\n+++ /etc/passwd":       `"a\n+++ /etc/passwd"`,
		"tab\tand\rbell\a":         `"tab\tand\rbell\a"`,
		"\x1b[31mred\x7f":          `"\033[31mred\177"`,
		`a "quote" and a \`:        `"a \"quote\" and a \\"`,
		"no UTF-8: \xff":           `"no UTF-8: \377"`,
		"C1: \u009b":               `"C1: \302\233"`,
		"turned: \u202e":           `"turned: \342\200\256"`,
	} {
		if got := patchName(name); got != want {
			t.Errorf("patchName(%q) = %s, want %s", name, got, want)
		}
	}
}

func TestSameReason(t *testing.T) {
	large, binary := fmt.Errorf("x: %w", facts.ErrTooLarge), fmt.Errorf("x: %w", facts.ErrBinary)
	for _, tt := range []struct {
		a, b error
		want bool
	}{
		{large, large, true}, {binary, binary, true}, {large, binary, false}, {large, nil, false}, {nil, nil, false}, {errors.New("x"), errors.New("x"), false},
	} {
		if got := sameReason(tt.a, tt.b); got != tt.want {
			t.Errorf("%v, %v: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}
