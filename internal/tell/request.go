package tell

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// The events of a job.
const (
	start   = "start"
	success = "success"
	failure = "failure"
)

// request is a request to one server.
type request struct {
	key     string        // of the config, such as ping.url
	url     config.Secret // of the config
	method  string
	headers map[string]config.Secret
	body    string
	// address returns its address, from the config.
	address func(*url.URL) *url.URL
	timeout time.Duration
	retries int
}

// Defaults.
const (
	timeout = 10 * time.Second
	retries = 3
)

// ended makes a message about the result of a job. It is false if there is nothing to report: its disk is absent, which
// is allowed; or its backup is fresh, but another step failed in an earlier run and has not succeeded since, which was
// reported and must not be revoked.
func ended(r jobs.Result, exit int, host string) (config.Message, bool) {
	m := messageOf(r.Job, host)
	m.Event, m.Status, m.Exit, m.Error, m.Log = success, string(r.Status()), exit, r.Error(), r.Log
	m.Started, m.Ended, m.Took = r.Started, r.Ended, r.Ended.Sub(r.Started).Round(time.Second)
	if exit != 0 {
		m.Event = failure
	}
	if v, ok := r.Find(jobs.Backup); ok && v.Backup != nil {
		m.Backup = v.Backup.Name
	}
	m.Text += m.Status
	if m.Backup != "" {
		m.Text += ", backup " + m.Backup
	}
	if m.Error != "" {
		m.Text += ": " + strings.ReplaceAll(m.Error, "\n", "; ")
	}
	return m, r.Status() != jobs.Skipped && !(r.Status() == jobs.Fresh && r.State.Failing())
}

// started makes the message for a job whose backup is about to begin.
func started(j config.Job, host string, now time.Time) config.Message {
	m := messageOf(j, host)
	m.Event, m.Status, m.Started, m.Text = start, "started", now, m.Text+"started"
	return m
}

func messageOf(j config.Job, host string) config.Message {
	return config.Message{Job: j.Name, Source: j.Backup.Source, Dest: j.Backup.Dest, Host: host, Text: j.Name + " on " + host + ": "}
}

// requests are the requests for the servers of a job. run is the same for the start and the end of a job, and unique.
func requests(j config.Job, m config.Message, run string) (all []request, errs error) {
	if j.Ping.URL.IsSet() {
		if r, ok := ping(j.Ping, m, run); ok {
			all = append(all, r)
		}
	}
	for _, h := range j.HTTP {
		on := h.On
		if len(on) == 0 {
			on = []string{failure}
		}
		if !slices.Contains(on, m.Event) {
			continue
		}
		r, err := generic(h, m)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("http.%s.body: %w", h.Name, err))
			continue
		}
		all = append(all, r)
	}
	return all, errs
}

func generic(h config.HTTP, m config.Message) (request, error) {
	r := request{key: "http." + h.Name, url: h.URL, method: h.Method, headers: h.Headers, timeout: h.Timeout, retries: retries}
	if r.method == "" {
		r.method = http.MethodPost
	}
	if h.Retries != nil {
		r.retries = *h.Retries
	}
	if h.Body == "" && (r.method == http.MethodGet || r.method == http.MethodHead) {
		return r, nil
	}
	var err error
	r.body, err = config.Body(h.Body, m)
	return r, err
}

// ping is false if the style has no such event.
func ping(p config.Ping, m config.Message, run string) (request, bool) {
	r := request{key: "ping.url", url: p.URL, method: http.MethodPost, timeout: p.Timeout, retries: retries}
	if p.Retries != nil {
		r.retries = *p.Retries
	}
	switch p.Style {
	case "uptime-kuma":
		if m.Event == start {
			return r, false // a push is an "up" or a "down"
		}
		r.method = http.MethodGet
		r.address = withQuery("status", map[string]string{success: "up", failure: "down"}[m.Event], "msg", cut(m.Text, 250), "ping", fmt.Sprint(m.Took.Milliseconds()))
	case "cronitor":
		r.method = http.MethodGet
		query := []string{"state", map[string]string{start: "run", success: "complete", failure: "fail"}[m.Event], "series", run, "host", m.Host, "message", cut(m.Text, 1500)}
		if m.Event != start {
			query = append(query, "status_code", fmt.Sprint(m.Exit), "metric", fmt.Sprintf("duration:%.0f", m.Took.Seconds()))
		}
		r.address = withQuery(query...)
	default:
		r.body = m.Text
		if m.Log != "" {
			r.body += "\n\n" + m.Log
		}
		below := map[string]string{start: "start", failure: "fail"}[m.Event]
		query := withQuery("rid", run)
		r.address = func(u *url.URL) *url.URL {
			if below != "" {
				u = u.JoinPath(below)
			}
			return query(u)
		}
	}
	return r, true
}

// withQuery sets parameters of a URL, and leaves others as they are.
func withQuery(pairs ...string) func(*url.URL) *url.URL {
	return func(u *url.URL) *url.URL {
		to := *u
		q := to.Query()
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		to.RawQuery = q.Encode()
		return &to
	}
}

// cut shortens a text to n bytes, at the beginning of a letter.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
