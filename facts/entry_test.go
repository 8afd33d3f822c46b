package facts

import (
	"encoding/json"
	"testing"
)

func TestPermissionsInJSON(t *testing.T) {
	out, err := json.Marshal(Entry{Mode: 0o4755})
	var back Entry
	if err != nil || json.Unmarshal(out, &back) != nil || back.Mode != 0o4755 {
		t.Errorf("%s, %v gives %o", out, err, back.Mode)
	}
}
