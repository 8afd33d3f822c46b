// Reports to servers.

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"text/template"
	"time"
)

// Message has the values for http.NAME.body, as {{.Job}} and so on.
type Message struct {
	Event  string // start, success or failure
	Job    string
	Source string
	Dest   string
	Host   string // the name of this machine
	Status string // started; ok, fresh, incomplete, failed or stopped
	Exit   int    // the exit code of the worst step
	Error  string // the errors, one line for each step that failed; or ""
	Backup string // the name of the new backup; or ""
	Text   string // everything in one line: JOB on HOST: STATUS and the rest
	Log    string // the end of the job's log

	Started, Ended time.Time
	Took           time.Duration
}

// defaultBody is the body of a request for which the config has none.
const defaultBody = "{{.Text}}"

// Body fills in a template of http.NAME.body; "" is the default.
func Body(text string, m Message) (string, error) {
	if text == "" {
		text = defaultBody
	}
	t, err := template.New("body").Funcs(template.FuncMap{"json": jsonText}).Parse(text)
	if err != nil {
		return "", templateError(err)
	}
	var b strings.Builder
	if err := t.Execute(limited{&b}, m); err != nil {
		return "", templateError(err)
	}
	return b.String(), nil
}

// templateError is the error without the internal name of the template.
func templateError(err error) error {
	return errors.New(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "template: "), "body:", "line "))
}

// jsonText makes a JSON value, for a body in JSON.
func jsonText(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// bodyLimit limits the size of a body.
const bodyLimit = 1 << 20

type limited struct{ b *strings.Builder }

// Write fails beyond the limit.
func (l limited) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > bodyLimit {
		return 0, fmt.Errorf("the body is longer than %d bytes", bodyLimit)
	}
	return l.b.Write(p)
}

var _ io.Writer = limited{}

// CheckURL says what is wrong with the address of a server.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("it is no URL") // the error has the text, which may be secret
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("want a URL that begins with https:// or http://")
	case u.Host == "":
		return errors.New("the URL has no host")
	}
	return nil
}

// headerName is a token of RFC 9110.
var headerName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") })

// checkTelling checks what single keys do not show. Secrets that are stored elsewhere are not read.
func checkTelling(j Job) *keyError {
	if err := checkLiteral(j.Ping.URL); err != nil {
		return &keyError{"ping.url", err}
	}
	for _, h := range j.HTTP {
		key := "http." + h.Name
		if !h.URL.IsSet() {
			return &keyError{key, errors.New("it has no url")}
		}
		if err := checkLiteral(h.URL); err != nil {
			return &keyError{key + ".url", err}
		}
		if _, err := Body(h.Body, Message{}); err != nil {
			return &keyError{key + ".body", err}
		}
		for name, value := range h.Headers {
			if _, _, elsewhere := value.reference(); !headerName().MatchString(name) || !elsewhere && strings.ContainsAny(value.said, "\r\n\x00") {
				return &keyError{key + ".headers." + name, errors.New("it cannot be a header")}
			}
		}
	}
	return nil
}

func checkLiteral(s Secret) error {
	if _, _, elsewhere := s.reference(); elsewhere || !s.IsSet() {
		return nil
	}
	return CheckURL(s.said)
}
