package source

import (
	"testing"
)

func TestForecast(t *testing.T) {
	for name, tt := range map[string]struct {
		forecast Forecast
		want     string
	}{
		"enough":           {Forecast{Need: 5e9, Free: 5e9}, ""},
		"too little":       {Forecast{Need: 5e9, Free: 4e9}, "/s takes 5.0 GB, and /b has 4.0 GB free: the backup will not fit unless part of SRC is excluded"},
		"part of it there": {Forecast{Need: 5e9, Have: 1e9, Free: 4e9}, ""},
		"too little for the rest": {Forecast{Need: 5e9, Have: 1e9, Free: 3e9},
			"/s takes 5.0 GB, of which 1.0 GB are copied, and /b has 3.0 GB free: the backup will not fit unless part of SRC is excluded"},
		"rules":           {Forecast{Need: 5e9, Free: 4e9, Rules: true}, "/s takes 5.0 GB, and /b has 4.0 GB free: the backup fits only if the rules leave out enough"},
		"compressed":      {Forecast{Need: 5e9, Free: 4e9, Compressed: true}, "/s takes 5.0 GB, and /b has 4.0 GB free: the backup fits only if it can be compressed that far"},
		"more than there": {Forecast{Need: 1e9, Have: 2e9}, ""},
	} {
		if got := tt.forecast.Text("/s", "/b"); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
