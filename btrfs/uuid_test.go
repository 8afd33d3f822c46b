//go:build linux

package btrfs

import "testing"

func TestUUIDText(t *testing.T) {
	const text = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	var u UUID
	if err := u.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	back, err := u.MarshalText()
	if err != nil || string(back) != text {
		t.Errorf("%s, %v; want %s", back, err, text)
	}
	for _, bad := range []string{"", "3f2504e0", "3f2504e04f8941d39a0c0305e82c3301", text + "00", "zf2504e0-4f89-41d3-9a0c-0305e82c3301"} {
		if err := u.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
