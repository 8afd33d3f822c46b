package tell

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Answer is the result of asking a server.
type Answer struct {
	What string // the key: ping, or http.NAME
	Host string
	Err  error
}

// Reach tests the connection to each server of a job without reporting anything: it reads the secrets, and requests the
// root of the site, ignoring the answer. A request to the address itself would count as a report.
func Reach(ctx context.Context, j config.Job) (answers []Answer) {
	if j.Ping.URL.IsSet() {
		answers = append(answers, reach(ctx, "ping", j.Ping.URL, j.Ping.Timeout))
	}
	for _, h := range j.HTTP {
		a := reach(ctx, "http."+h.Name, h.URL, h.Timeout)
		for name, header := range h.Headers {
			if _, err := header.Reveal(); err != nil && a.Err == nil {
				a.Err = fmt.Errorf("header %s: %w", name, err)
			}
		}
		answers = append(answers, a)
	}
	return answers
}

// reachTime is how long a server may take to answer, where the config does not say it.
const reachTime = 10 * time.Second

func reach(ctx context.Context, what string, address config.Secret, limit time.Duration) Answer {
	a := Answer{What: what}
	text, err := address.Reveal()
	if err != nil {
		a.Err = err
		return a
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		a.Err = fmt.Errorf("%s is no address", address)
		return a
	}
	a.Host = u.Host
	if limit == 0 {
		limit = reachTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	top := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, top.String(), nil)
	if err != nil {
		a.Err = err
		return a
	}
	client := newClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(r)
	if err != nil {
		a.Err = plain(err)
		return a
	}
	a.Err = response.Body.Close()
	return a
}
