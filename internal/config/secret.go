package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Secret is a text that must not be shown: the text itself, or its place in a file, a systemd credential or the
// environment.
type Secret struct{ said string }

// IsSet reports whether there is one.
func (s Secret) IsSet() bool { return s.said != "" }

// String hides a secret in the config, except the host of a URL; for a secret kept elsewhere it shows where.
func (s Secret) String() string {
	if _, _, elsewhere := s.reference(); elsewhere {
		return s.said
	}
	if u, err := url.Parse(s.said); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host + "/..."
	}
	return "..."
}

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides it from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// reference splits file:/path, credential:NAME and env:NAME.
func (s Secret) reference() (kind, name string, ok bool) {
	kind, name, found := strings.Cut(s.said, ":")
	switch {
	case !found:
		return "", "", false
	case kind == "file", kind == "credential", kind == "env":
		return kind, name, true
	}
	return "", "", false
}

// Credential is the name of the systemd credential that contains the secret, or "".
func (s Secret) Credential() string {
	if kind, name, _ := s.reference(); kind == "credential" {
		return name
	}
	return ""
}

// Reveal reads the secret. One line break at the end of a file is not part of it.
func (s Secret) Reveal() (string, error) {
	kind, name, ok := s.reference()
	if !ok {
		return s.said, nil
	}
	switch kind {
	case "env":
		if value := os.Getenv(name); value != "" {
			return value, nil
		}
		return "", fmt.Errorf("secret %s: the variable is not set", s.said)
	case "credential":
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", fmt.Errorf("secret %s: $CREDENTIALS_DIRECTORY is not set: this is no unit with LoadCredential=", s.said)
		}
		name = filepath.Join(dir, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", s.said, err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("secret %s: %s is empty", s.said, name)
	}
	return text, nil
}

func parseSecret(s string) (Secret, error) {
	secret := Secret{s}
	kind, name, ok := secret.reference()
	switch {
	case s == "":
		return Secret{}, errors.New("it is empty")
	case !ok:
		return secret, nil
	case kind == "file" && !filepath.IsAbs(name):
		return Secret{}, errors.New("want file: and an absolute path")
	case kind != "file" && (name == "" || strings.ContainsAny(name, "/=")):
		return Secret{}, fmt.Errorf("want %s: and a name", kind)
	}
	return secret, nil
}
