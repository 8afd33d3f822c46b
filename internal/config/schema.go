package config

import (
	"maps"
	"slices"
	"strings"
)

// Schema is a JSON schema (draft 2020-12) of the file, for editors that support TOML. Rules that it cannot express, for
// example that two jobs must not have the same dest, are checked only by Load.
func Schema() map[string]any {
	scope := func(kind string) map[string]any {
		s := object()
		for _, k := range Keys() {
			if kind == jobTable || !k.JobOnly {
				s.put(strings.Split(k.Name, "."), k.schema())
			}
		}
		return s
	}
	job := scope(jobTable)
	job["required"] = []string{"dest", "source"}
	all := object()
	all.put([]string{includeKey}, described(listOf(map[string]any{"type": "string", "minLength": 1}),
		"Further files, or patterns of their names, relative to this one."))
	for _, k := range GlobalKeys() {
		all.put(strings.Split(k.Name, "."), k.schema())
	}
	all.put([]string{defaultsTable}, described(scope(defaultsTable), "Values for every job."))
	all.put([]string{groupTable, "*"}, described(scope(groupTable), "Values for the jobs that name the group."))
	all.put([]string{jobTable, "*"}, described(job, "A job: what to back up, where to, and how."))
	for _, name := range []string{groupTable, jobTable} {
		all["properties"].(map[string]any)[name].(schema)["propertyNames"] = map[string]any{"pattern": nameOf().String()}
	}
	all["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	all["title"] = FileName
	return all
}

// schema is that of a table.
type schema map[string]any

func object() schema {
	return schema{"type": "object", "properties": map[string]any{}, "additionalProperties": false}
}

// put adds s under a path, in which * is any name.
func (o schema) put(path []string, s map[string]any) {
	child := func(get func() (any, bool), set func(any)) {
		if len(path) == 1 {
			set(s)
			return
		}
		next, ok := get()
		if !ok {
			next = object()
			set(next)
		}
		next.(schema).put(path[1:], s)
	}
	if path[0] == "*" {
		child(func() (any, bool) { v, ok := o["additionalProperties"].(schema); return v, ok },
			func(v any) { o["additionalProperties"] = v })
		return
	}
	properties := o["properties"].(map[string]any)
	child(func() (any, bool) { v, ok := properties[path[0]]; return v, ok }, func(v any) { properties[path[0]] = v })
}

func described(s map[string]any, doc string) map[string]any {
	s = maps.Clone(s)
	s["description"] = doc
	return s
}

// listOf is one value, or a list of them.
func listOf(one map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{one, map[string]any{"type": "array", "items": one}}}
}

func text(pattern string) map[string]any {
	return map[string]any{"type": "string", "pattern": pattern}
}

func number(least, most int64) map[string]any {
	s := map[string]any{"type": "integer", "minimum": least}
	if most > 0 {
		s["maximum"] = most
	}
	return s
}

func (k Key) schema() map[string]any { return described(k.schemaOfKind(), k.Doc) }

func (k Key) schemaOfKind() map[string]any {
	plain := map[string]any{"type": "string", "minLength": 1}
	if len(k.Enum) > 0 {
		plain = map[string]any{"type": "string", "enum": slices.Clone(k.Enum)}
	}
	program := map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "minItems": 1}
	switch k.Kind {
	case Bool:
		return map[string]any{"type": "boolean"}
	case Number:
		return number(0, k.Most)
	case Above0:
		return number(1, k.Most)
	case Texts:
		return listOf(plain)
	case Time, Age:
		return map[string]any{"anyOf": []any{number(0, 0), text(`^[0-9.+][0-9.hmsunµμ]*$`)}}
	case Count:
		return map[string]any{"anyOf": []any{number(1, 0), map[string]any{"const": -1}, text(`^(unlimited|-1|\+?[0-9]+)$`)}}
	case Span:
		return text(`^([0-9]+[hdwmy])+$`)
	case Cadence:
		return text(`^(always|([0-9]+[hdwmy])+)$`)
	case Space, Bytes:
		return text(`[0-9]`)
	case Rate:
		return text(rate().String())
	case Windows:
		return listOf(text(window().String()))
	case Program:
		return map[string]any{"anyOf": []any{program, map[string]any{"type": "array", "items": program}}}
	}
	return plain
}
