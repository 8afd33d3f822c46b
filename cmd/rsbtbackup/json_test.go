package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
)

// jsonTypes has every object that --json prints.
var jsonTypes = map[string]any{
	"init": initObject{}, "backup": backupObject{}, "snapshot": snapshotObject{}, "summary": summaryObject{},
	"prune": pruneObject{}, "delete": deleteObject{}, "pin": nil, "unpin": nil, "entry": entryObject{},
	"difference": differenceObject{}, "diff": diffSummary{}, "text_difference": textDiffObject{},
	"path_version": versionOfPathObject{}, "history": historyObject{}, "change": changeObject{},
	"restore": restoreObject{}, "clone": cloneObject{}, "copy": copyObject{}, "receive": receiveObject{}, "damage": damageObject{}, "verify": verifyObject{},
	"against": againstObject{}, "copy_difference": copyDifferenceObject{}, "against_copy": againstCopyObject{}, "problem": problemObject{}, "config": configObject{}, "job": jobObject{}, "try": tryObject{}, "step": stepObject{}, "run": runObject{}, "status": statusObject{}, "finding": findingObject{}, "schedule": scheduleObject{},
	"check": checkObject{}, "share": shareObject{}, "version": versionObject{}, "error": errorObject{},
}

// Every type is described, field by field.
func TestJSONIsDescribed(t *testing.T) {
	sections := jsonSections(t)
	for name, object := range jsonTypes {
		text, ok := sections[name]
		if !ok {
			t.Errorf("docs/JSON.md has no heading %q", name)
		}
		if object == nil {
			continue
		}
		for _, field := range jsonFields(reflect.TypeOf(object)) {
			if field != "type" && !strings.Contains(text, "`"+field+"`") {
				t.Errorf("docs/JSON.md: %s has no field %s", name, field)
			}
		}
	}
	for name, part := range map[string]any{"record": rsbtbackup.Record{}, "stats": rsbtbackup.Record{}.Stats, "scan": rsbtbackup.Scan{}} {
		for _, field := range jsonFields(reflect.TypeOf(part)) {
			if !strings.Contains(sections[name], "`"+field+"`") {
				t.Errorf("docs/JSON.md: %s has no field %s", name, field)
			}
		}
	}
}

// The table of types above is whole.
func TestJSONTypesAreKnown(t *testing.T) {
	literal := regexp.MustCompile(`(?:Object|Summary)\{(?:Type: )?"(\w+)"`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range literal.FindAllStringSubmatch(string(source), -1) {
			found[match[1]] = true
			if _, ok := jsonTypes[match[1]]; !ok {
				t.Errorf("%s prints the type %q", file, match[1])
			}
		}
	}
	for name := range jsonTypes {
		if !found[name] {
			t.Errorf("nothing prints the type %q", name)
		}
	}
}

// jsonSections is the text below each heading of docs/JSON.md.
func jsonSections(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/JSON.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range regexp.MustCompile(`(?m)^##+ `).Split(string(doc), -1) {
		heading, text, _ := strings.Cut(section, "\n")
		sections[heading] = text
	}
	return sections
}

// jsonFields are the names of the fields of one object, not of those in it.
func jsonFields(t reflect.Type) []string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var names []string
	var hidden string // a field of what is embedded
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-":
		case f.Type == reflect.TypeFor[*struct{}]():
			hidden = tag
		case f.Anonymous && tag == "":
			names = append(names, jsonFields(f.Type)...)
		case tag != "":
			names = append(names, tag)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == hidden })
}
