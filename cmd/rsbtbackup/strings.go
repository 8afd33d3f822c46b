// Strings on the command line, unchanged.

package main

import (
	"errors"
	"reflect"

	"github.com/alecthomas/kong"
)

// rawStrings replace kong's mappers, which pass a string through JSON and so lose invalid UTF-8 (a file name may have
// it), and which take a value that begins with a dash (--filter '- *.o') for a flag.
func rawStrings() []kong.Option {
	return []kong.Option{
		kong.KindMapper(reflect.String, kong.MapperFunc(decodeString)),
		kong.TypeMapper(reflect.TypeFor[[]string](), kong.MapperFunc(appendString)),
	}
}

func decodeString(ctx *kong.DecodeContext, target reflect.Value) error {
	s, err := popString(ctx)
	if err == nil {
		target.SetString(s)
	}
	return err
}

// appendString takes one value for a flag, because a comma may be part of a pattern, and all remaining values for an
// argument.
func appendString(ctx *kong.DecodeContext, target reflect.Value) error {
	if ctx.Value.Flag == nil {
		for _, token := range ctx.Scan.PopWhile(func(t kong.Token) bool { return t.IsValue() }) {
			target.Set(reflect.Append(target, reflect.ValueOf(token.Value.(string))))
		}
		return nil
	}
	s, err := popString(ctx)
	if err == nil {
		target.Set(reflect.Append(target, reflect.ValueOf(s)))
	}
	return err
}

// errEmptyPath: an empty argument is more likely an unset variable than intended.
var errEmptyPath = errors.New("PATH is empty")

// pathOr is the path that was given, or another.
func pathOr(path *string, other string) string {
	if path == nil {
		return other
	}
	return *path
}

func popString(ctx *kong.DecodeContext) (string, error) {
	if s, ok := ctx.Scan.Pop().Value.(string); ok {
		return s, nil
	}
	return "", errors.New("its value is missing")
}
