package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// FileName is the name of the file in each of the places that Find tries.
const FileName = "rsbtbackup.toml"

// ErrNoConfig is matched by the error of Find if there is no file.
var ErrNoConfig = errors.New("no config")

// Find returns the file to read: named if it is set, otherwise the first that exists of
// $XDG_CONFIG_HOME/rsbtbackup.toml (or $HOME/.config/rsbtbackup.toml) and /etc/rsbtbackup.toml.
func Find(named string) (string, error) {
	if named != "" {
		return filepath.Abs(named)
	}
	places := Places(os.Getenv)
	for _, place := range places {
		switch _, err := os.Stat(place); {
		case err == nil:
			return place, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("config: %w", err)
		}
	}
	return "", fmt.Errorf("%w: there is none of %s", ErrNoConfig, joinOr(places))
}

// Places are the files that Find tries, for an environment.
func Places(env func(string) string) []string {
	var places []string
	if dir := env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		places = append(places, filepath.Join(dir, FileName))
	} else if home := env("HOME"); filepath.IsAbs(home) {
		places = append(places, filepath.Join(home, ".config", FileName))
	}
	return append(places, filepath.Join("/etc", FileName))
}

func joinOr(words []string) string {
	var text strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			text.WriteString(" or ")
		case i > 0:
			text.WriteString(", ")
		}
		text.WriteString(w)
	}
	return text.String()
}
