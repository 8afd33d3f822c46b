package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Kind is the kind of value that a key takes.
type Kind string

const (
	Bool    Kind = "bool"
	Number  Kind = "number"  // from 0
	Above0  Kind = "above 0" // a number from 1
	Text    Kind = "text"
	Texts   Kind = "texts"   // one text, or a list of them
	Time    Kind = "time"    // 90 (seconds), "10m"
	Age     Kind = "age"     // a time, but a few seconds without a unit are a mistake
	Count   Kind = "count"   // a number of backups from 1, or "unlimited"
	Span    Kind = "span"    // calendar time: "30d", "1y6m"
	Cadence Kind = "cadence" // a span, or "always"
	Space   Kind = "space"   // "50G", "10%"
	Bytes   Kind = "bytes"   // "128MiB"
	Rate    Kind = "rate"    // in the format of rsync's --bwlimit
	Windows Kind = "windows" // times of day with rates
	Program Kind = "program" // a program and its arguments as a list, or a list of such lists
	Hidden  Kind = "secret"  // itself, "file:/path", "credential:NAME" or "env:NAME"
)

// decode converts a value of TOML to the type of kind: bool, int, string, []string, time.Duration, retention.Span,
// Every, rsbtbackup.MinFree, []RateWindow, []Command or Secret.
func (k Key) decode(value any) (any, error) {
	switch k.Kind {
	case Bool:
		if b, ok := value.(bool); ok {
			return b, nil
		}
		return nil, wants("true or false", value)
	case Number, Above0:
		return k.decodeNumber(value)
	case Texts:
		return k.decodeTexts(value)
	case Time, Age, Count:
		if n, ok := value.(int64); ok {
			value = strconv.FormatInt(n, 10)
		}
		s, ok := value.(string)
		if !ok {
			return nil, wants("a number, or a text such as "+k.Example, value)
		}
		switch k.Kind {
		case Count:
			return ParseCount(s)
		case Age:
			return ParseAge(s)
		}
		return ParseTime(s)
	case Windows:
		return decodeEach(value, parseWindow)
	case Program:
		return decodeCommands(value)
	}
	s, ok := value.(string)
	if !ok {
		return nil, wants("a text such as "+k.Example, value)
	}
	return k.decodeText(s)
}

func (k Key) decodeText(s string) (any, error) {
	switch k.Kind {
	case Span:
		span, err := retention.ParseSpan(s)
		return span, err
	case Cadence:
		return parseEvery(s)
	case Space:
		return ParseSpace(s)
	case Bytes:
		m, err := ParseSpace(s)
		if err == nil && m.Percent > 0 {
			err = fmt.Errorf("%q: want a size such as 128MiB, not a percentage", s)
		}
		return m, err
	case Rate:
		if !IsRate(s) {
			return nil, fmt.Errorf("%q is no rate such as 500k, 10m or 1.5m", s)
		}
	case Hidden:
		return parseSecret(s)
	}
	return s, k.checkText(s)
}

func (k Key) checkText(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case strings.Contains(s, "\x00"):
		return errors.New("it has a NUL byte")
	case len(k.Enum) > 0 && !slices.Contains(k.Enum, s):
		return fmt.Errorf("%q is none of %s", s, strings.Join(k.Enum, ", "))
	}
	return nil
}

func (k Key) decodeNumber(value any) (any, error) {
	least := int64(0)
	if k.Kind == Above0 {
		least = 1
	}
	most := int64(math.MaxInt32)
	if k.Most > 0 {
		most = k.Most
	}
	n, ok := value.(int64)
	switch {
	case !ok:
		return nil, wants("a number", value)
	case n < least || n > most:
		return nil, fmt.Errorf("%d: want %d to %d", n, least, most)
	}
	return int(n), nil
}

func (k Key) decodeTexts(value any) (any, error) {
	return decodeEach(value, func(s string) (string, error) { return s, k.checkText(s) })
}

// decodeEach takes one text or a list of texts.
func decodeEach[T any](value any, read func(string) (T, error)) ([]T, error) {
	if s, ok := value.(string); ok {
		value = []any{s}
	}
	list, ok := value.([]any)
	if !ok {
		return nil, wants("a text or a list of texts", value)
	}
	all := []T{}
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, wants("a list of texts", v)
		}
		one, err := read(s)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// decodeCommands takes one list of words, or a list of such lists. A text is refused: it could be meant as a line for a
// shell.
func decodeCommands(value any) ([]Command, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, wants(`a list of words such as ["/usr/bin/program", "argument"]`, value)
	}
	if len(list) > 0 {
		if _, many := list[0].([]any); !many {
			list = []any{list}
		}
	}
	commands := []Command{}
	for _, v := range list {
		if _, ok := v.([]any); !ok {
			return nil, wants("a list of words for each program", v)
		}
		words, err := decodeEach(v, func(s string) (string, error) { return s, checkWord(s) })
		switch {
		case err != nil:
			return nil, err
		case len(words) == 0:
			return nil, errors.New("a program has no words")
		case !strings.HasPrefix(words[0], "/"):
			return nil, fmt.Errorf("%q: want the absolute path of a program; no shell runs it, and $PATH is not searched", words[0])
		}
		commands = append(commands, words)
	}
	return commands, nil
}

func checkWord(s string) error {
	if strings.Contains(s, "\x00") {
		return errors.New("it has a NUL byte")
	}
	return nil
}

func wants(what string, value any) error {
	return fmt.Errorf("want %s, not %s", what, tomlType(value))
}

func tomlType(value any) string {
	switch v := value.(type) {
	case bool:
		return "true or false"
	case int64:
		return "a number"
	case string:
		return "a text"
	case []any:
		return "a list"
	case other:
		return string(v)
	}
	return fmt.Sprintf("%T", value)
}
