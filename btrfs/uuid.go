//go:build linux

package btrfs

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// UUID of a subvolume, device or filesystem; all zero where there is none.
type UUID [16]byte

// String is the usual form, such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301, of the zero UUID too.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// IsZero reports whether there is no UUID.
func (u UUID) IsZero() bool { return u == UUID{} }

// MarshalText is String, for encoding/json.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (u *UUID) UnmarshalText(text []byte) error {
	digits := strings.ReplaceAll(string(text), "-", "")
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(u) || UUID(raw).String() != strings.ToLower(string(text)) {
		return fmt.Errorf("parse UUID %q: not of the form 3f2504e0-4f89-41d3-9a0c-0305e82c3301", text)
	}
	*u = UUID(raw)
	return nil
}
