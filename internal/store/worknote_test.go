package store

import (
	"testing"
)

func FuzzParseWorkNote(f *testing.F) {
	f.Add([]byte(`{"version":1,"work_uuid":"x","phase":"transfer","instance":{"boot_id":"b","mount_id":1}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := parseWorkNote(data); n != nil && n.Version != 1 {
			t.Errorf("accepted version %d", n.Version)
		}
	})
}
