package source

import "testing"

func TestMisplaced(t *testing.T) {
	own := []string{"/data/src", "/mnt/disk/src"}
	for pattern, want := range map[string]string{
		"/data/src/cache":      "give /cache",
		"/data/src/a b/*.o":    "give /a b/*.o",
		"/mnt/disk/src/cache/": "give /cache/",
		"/data/src":            "it is SRC itself",
		"/data/src/":           "it is SRC itself",
		"./cache":              "give /cache",
		"/data/srcs/cache":     "",
		"/cache":               "",
		"cache":                "",
		"data/src/cache":       "",
		"*":                    "",
		"":                     "",
	} {
		if got, _ := misplaced(pattern, own); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}
