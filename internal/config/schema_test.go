package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite docs/rsbtbackup.schema.json")

const published = "../../docs/rsbtbackup.schema.json"

func schemaText(t *testing.T) []byte {
	t.Helper()
	data, err := json.MarshalIndent(Schema(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func TestPublishedSchemaIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile(published, schemaText(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, schemaText(t)) {
		t.Error("docs/rsbtbackup.schema.json is out of date: go test ./internal/config -run Schema -update")
	}
}

var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	data, err := json.Marshal(Schema())
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("schema.json")
})

// valid returns what the schema says about a text in TOML.
func valid(t *testing.T, text string) error {
	t.Helper()
	s, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := toml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

// TestSchemaAgreesWithTheDecoder: what is right for one is right for the other, and what has the wrong type or an
// unknown name is wrong for both.
func TestSchemaAgreesWithTheDecoder(t *testing.T) {
	for _, k := range Keys() {
		name := example(k.Name)
		var text strings.Builder
		text.WriteString("[job.a]\n" + name + " = " + k.Example + "\n")
		for key, value := range map[string]string{"source": "'/etc'", "dest": "'/b'"} {
			if key != name {
				text.WriteString(key + " = " + value + "\n")
			}
		}
		if strings.HasPrefix(name, "http.") && !strings.HasSuffix(name, ".url") {
			text.WriteString("http.ntfy.url = 'https://x.y'\n")
		}
		if strings.HasPrefix(name, "copy.") && !strings.HasSuffix(name, ".target") {
			text.WriteString("copy.vault.target = 'vault:/x'\n")
		}
		if name == "keep-min" || name == "prune" {
			text.WriteString("min-free = '5G'\n")
		}
		if strings.HasPrefix(name, "hooks.") && strings.HasSuffix(name, "-snapshot") {
			text.WriteString("snapshot-source = true\n")
		}
		if name == "group" {
			text.WriteString("[group.web1]\n")
		}
		if got := problemsOf(t, "c.toml", text.String()); len(got) > 0 {
			t.Errorf("%s: %q", k.Name, got)
		}
		if err := valid(t, text.String()); err != nil {
			t.Errorf("%s: the schema refuses %q: %v", k.Name, text.String(), err)
		}
		for _, wrong := range []string{"{ x = 1 }", "[[['x']]]", "1.5"} {
			text := strings.Replace(text.String(), name+" = "+k.Example, name+" = "+wrong, 1)
			if got := problemsOf(t, "c.toml", text); len(got) == 0 {
				t.Errorf("%s: the decoder takes %s", k.Name, wrong)
			}
			if err := valid(t, text); err == nil {
				t.Errorf("%s: the schema takes %s", k.Name, wrong)
			}
		}
	}
	for _, wrong := range []string{
		"[jobs.a]", "x = 1", "[defaults]\nsource = '/etc'", "[job.a]", "[job.'a/b']\nsource='/a'\ndest='/b'", "[run]\njosb = 1", "[run]\njobs = 0",
		good + "nice = 20", good + "keep-daily = 0", good + "keep-within = '3 days'", good + "partial = 'x'", good + "bwlimit = 'fast'", "include = 7\n" + good,
	} {
		if got := problemsOf(t, "c.toml", wrong); len(got) == 0 {
			t.Errorf("the decoder takes %q", wrong)
		}
		if err := valid(t, wrong); err == nil {
			t.Errorf("the schema takes %q", wrong)
		}
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range append(Keys(), GlobalKeys()...) {
		if seen[k.Name] || !strings.HasSuffix(k.Doc, ".") || k.Example == "" {
			t.Errorf("%+v", k)
		}
		seen[k.Name] = true
	}
}

var commentedKey = regexp.MustCompile(`(?m)^#(\S+ = )`)

func TestExample(t *testing.T) {
	for name, text := range map[string]string{"as it is": Example(), "with every key": commentedKey.ReplaceAllString(Example(), "$1")} {
		if got := problemsOf(t, "c.toml", text); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
		if err := valid(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, k := range append(Keys(), GlobalKeys()...) {
		_, name, _ := strings.Cut(k.Name, ".")
		if !k.JobOnly && !strings.Contains(Example(), "#"+example(k.Name)+" = ") && !strings.Contains(Example(), "#"+name+" = ") {
			t.Errorf("%s is not in it", k.Name)
		}
	}
	for i, line := range strings.Split(Example(), "\n") {
		if len(line) > 120 {
			t.Errorf("line %d is too long: %s", i+1, line)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(Example())
	f.Add(commentedKey.ReplaceAllString(Example(), "$1"))
	f.Add(good + "http.a.headers = {A = 'b'}\nbwlimit-times = '1:00-2:00 1m'\n")
	f.Add("[[job]]\n[job.a.b]\n'\\u0000' = [{a=1}, [], 0x1f, nan]\n")
	f.Fuzz(func(t *testing.T, text string) {
		doc, problems := parseTOML("c.toml", []byte(text))
		if len(problems) > 0 {
			return
		}
		c, problems := assemble([]document{doc})
		for _, p := range problems {
			if p.File != "c.toml" || p.Line < 0 || p.Line > len(doc.lines) || p.Text == "" {
				t.Errorf("%+v", p)
			}
		}
		if len(problems) > 0 {
			return
		}
		for _, j := range c.Jobs {
			if j.Name == "" || j.Backup.Source == "" || !filepath.IsAbs(j.Backup.Dest) || len(j.Values) < 2 {
				t.Errorf("%+v", j)
			}
		}
	})
}
