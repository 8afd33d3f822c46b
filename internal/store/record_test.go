package store

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"2026-11-23-09:00","status":"complete","rsync_exit":0,"pin":{"at":"2026-11-23T09:00:00Z"}}`))
	f.Add([]byte(`{"version":1,"status":"done"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err == nil && (r == nil || r.Status != facts.Complete && r.Status != facts.Incomplete) {
			t.Errorf("accepted %s", data)
		}
	})
}
