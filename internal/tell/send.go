package tell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// errRedirect is matched by the error of a refused redirect.
var errRedirect = errors.New("redirected")

// newClient honours $HTTPS_PROXY, $HTTP_PROXY and $NO_PROXY.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment},
		CheckRedirect: checkRedirect,
	}
}

// checkRedirect allows redirects only to HTTP, and never from https to http. The address may be a secret, so it is not
// passed on (Referer), and headers are sent only to their own host: net/http keeps only Authorization and Cookie from
// other hosts.
func checkRedirect(next *http.Request, before []*http.Request) error {
	first := before[0]
	switch {
	case len(before) > 5:
		return fmt.Errorf("%w more than 5 times", errRedirect)
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return fmt.Errorf("%w to %s:, which is neither http nor https", errRedirect, cut(next.URL.Scheme, 20))
	case first.URL.Scheme == "https" && next.URL.Scheme == "http":
		return fmt.Errorf("%w from https to http, where everybody can read it", errRedirect)
	}
	next.Header.Del("Referer")
	if next.URL.Host != first.URL.Host {
		for name := range first.Header {
			next.Header.Del(name)
		}
	}
	return nil
}

// sender sends requests.
type sender struct {
	client *http.Client
	agent  string        // User-Agent
	pause  time.Duration // before the first new try; it doubles
}

// send tries until the server has accepted or rejected the request, or all tries are used. When hurry is done there is
// no further attempt; ctx ends the current one. The error contains no secret.
func (s sender) send(ctx, hurry context.Context, r request) error {
	address, secrets, err := r.reveal()
	if err != nil {
		return err
	}
	headers := http.Header{"User-Agent": {s.agent}}
	if r.body != "" {
		headers.Set("Content-Type", "text/plain; charset=utf-8")
	}
	for name, secret := range r.headers {
		value, err := secret.Reveal()
		if err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
		headers.Set(name, value)
		secrets = append(append(secrets, value), parts(value)...)
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = s.pause, 2, 30*time.Second
	var last error
	tries := 0
	_, err = backoff.Retry(hurry, func() (struct{}, error) {
		tries++
		last = s.try(ctx, r, address, headers)
		return struct{}{}, again(last)
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(uint(r.retries)+1), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	text := hide(last.Error(), secrets)
	if tries > 1 {
		text = fmt.Sprintf("%s (tried %d times)", text, tries)
	}
	return errors.New(text)
}

// again converts an error for backoff.
func again(err error) error {
	var status *statusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errRedirect):
		return backoff.Permanent(err)
	case !errors.As(err, &status):
		return err // the network
	case status.code < 500 && status.code != http.StatusTooManyRequests && status.code != http.StatusRequestTimeout:
		return backoff.Permanent(err)
	case status.after > 0:
		return &backoff.RetryAfterError{Duration: min(status.after, 30*time.Second)}
	}
	return err
}

// reveal returns the address, and its parts that must not be shown.
func (r request) reveal() (*url.URL, []string, error) {
	text, err := r.url.Reveal()
	if err != nil {
		return nil, nil, err
	}
	if err := config.CheckURL(text); err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, nil, errors.New("it is no URL")
	}
	secrets := []string{text, u.RequestURI(), u.Path, u.RawQuery}
	if u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, u.User.String(), password)
	}
	secrets = append(secrets, parts(u.Path)...)
	for _, values := range u.Query() {
		secrets = append(secrets, values...)
	}
	if r.address != nil {
		u = r.address(u)
		secrets = append(secrets, u.String(), u.RequestURI(), u.Path)
	}
	return u, secrets, nil
}

// parts are those parts of a path or a header that are long enough for a token, because an error may contain one alone.
func parts(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("/:;,= ", r) })
	return slices.DeleteFunc(words, func(word string) bool { return len(word) < 8 })
}

// hide removes secrets from a text. Texts shorter than four letters, such as the path "/", are not secrets, and would
// be found everywhere.
func hide(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, "...")
		}
	}
	return text
}

// statusError is an answer that is no success.
type statusError struct {
	code  int
	text  string
	after time.Duration // when the server asks for the next try
}

func (e *statusError) Error() string { return e.text }

func (s sender) try(ctx context.Context, r request, address *url.URL, headers http.Header) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(r.timeout, timeout), fmt.Errorf("no answer within %v", cmp.Or(r.timeout, timeout)))
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, r.method, address.String(), strings.NewReader(r.body))
	if err != nil {
		return plain(err)
	}
	q.Header = headers.Clone()
	q.Host = headers.Get("Host") // "" is that of the address
	answer, err := s.client.Do(q)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return plain(err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // a part is enough for a message
	if answer.StatusCode/100 == 2 {
		return nil
	}
	e := &statusError{code: answer.StatusCode, text: answer.Status}
	if line, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n"); line != "" {
		e.text += ": " + cut(line, 200)
	}
	if n, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && n > 0 {
		e.after = time.Duration(n) * time.Second
	}
	return e
}

// plain removes the address from an error of net/http.
func plain(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}
