package backup

import (
	"testing"
)

func TestForecast(t *testing.T) {
	for name, tt := range map[string]struct {
		forecast forecast
		want     string
	}{
		"enough":           {forecast{need: 5e9, free: 5e9}, ""},
		"too little":       {forecast{need: 5e9, free: 4e9}, "/s takes 5.0 GB, and /b has 4.0 GB free: the backup will not fit unless part of SRC is excluded"},
		"part of it there": {forecast{need: 5e9, have: 1e9, free: 4e9}, ""},
		"too little for the rest": {forecast{need: 5e9, have: 1e9, free: 3e9},
			"/s takes 5.0 GB, of which 1.0 GB are copied, and /b has 3.0 GB free: the backup will not fit unless part of SRC is excluded"},
		"rules":           {forecast{need: 5e9, free: 4e9, rules: true}, "/s takes 5.0 GB, and /b has 4.0 GB free: the backup fits only if the rules leave out enough"},
		"compressed":      {forecast{need: 5e9, free: 4e9, compressed: true}, "/s takes 5.0 GB, and /b has 4.0 GB free: the backup fits only if it can be compressed that far"},
		"more than there": {forecast{need: 1e9, have: 2e9}, ""},
	} {
		if got := tt.forecast.text("/s", "/b"); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
