package tell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// got is a request that a server had.
type got struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         string
	Host         string
}

// server notes what it is asked, and answers what answer says to the n-th request.
type server struct {
	*httptest.Server
	mu  sync.Mutex
	had []got
}

func newServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil && r.Context().Err() == nil { // who sends may have no time left
			t.Error(err)
		}
		s.mu.Lock()
		s.had = append(s.had, got{r.Method, r.URL.Path, r.URL.Query(), r.Header, string(body), r.Host})
		n := len(s.had)
		s.mu.Unlock()
		if answer != nil {
			answer(w, r, n)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) all() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]got(nil), s.had...)
}

// said is a log that can be read.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func newTeller(ctx context.Context, log *said) *Teller {
	return New(ctx, Options{
		Host: "host", Agent: "rsbtbackup/test", Pause: time.Millisecond, Now: func() time.Time { return noon },
		Log: func(config.Job) *slog.Logger { return slog.New(slog.NewTextHandler(log, nil)) },
		Exit: func(r jobs.Result) int {
			worst := 0
			for _, v := range r.Verdicts {
				worst = max(worst, v.Exit)
			}
			return worst
		},
	})
}

// job is the one of a config that has the lines.
func job(t *testing.T, lines string) config.Job {
	t.Helper()
	c, err := config.Parse("c.toml", []byte("[job.etc]\nsource = '/etc'\ndest = '/b/etc'\n"+lines))
	if err != nil {
		t.Fatal(err)
	}
	return c.Jobs[0]
}

func wellDone(j config.Job) jobs.Result {
	return jobs.Result{
		Job: j, Started: noon, Ended: noon.Add(83 * time.Second), Log: "level=INFO msg=\"all is well\"\n",
		Verdicts: []jobs.Verdict{{Job: j.Name, Step: jobs.Backup, Status: jobs.OK, Backup: &rsbtbackup.Report{Name: "2026-11-29-12:00"}}},
	}
}

func pruneFailed(j config.Job) jobs.Result {
	r := wellDone(j)
	r.Verdicts = append(r.Verdicts, jobs.Verdict{Job: j.Name, Step: jobs.Prune, Status: jobs.Failed, Exit: 14, Error: "no \"space\"\nleft", Err: errors.New("x")})
	return r
}

// snippets are the examples of docs/TELLING.md, by their headings.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/TELLING.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)\n### ([^\n]+)\n(?:[^#]*?)```toml\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		all[m[1]] = m[2]
	}
	return all
}

// TestDocumentedServers takes the config of each service from the documentation, and checks the requests that the
// service gets.
func TestDocumentedServers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("NTFY_AUTH", "Bearer tk_secret")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	all := snippets(t)
	const failed = `etc on host: failed, backup 2026-11-29-12:00: prune: no "space"; left`
	jsonBody := func(want map[string]any) func(*testing.T, got) {
		return func(t *testing.T, g got) {
			t.Helper()
			var have map[string]any
			if err := json.Unmarshal([]byte(g.Body), &have); err != nil || !cmp.Equal(want, have) {
				t.Errorf("%v, body %s, want %v", err, g.Body, want)
			}
			if g.Method != "POST" || g.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%+v", g)
			}
		}
	}
	for name, want := range map[string][]func(*testing.T, got){
		"healthchecks.io": {
			func(t *testing.T, g got) { is(t, g, "POST", "/UUID/start", "etc on host: started", "rid") },
			func(t *testing.T, g got) {
				is(t, g, "POST", "/UUID", "etc on host: ok, backup 2026-11-29-12:00\n\nlevel=INFO msg=\"all is well\"\n", "rid")
			},
			func(t *testing.T, g got) { is(t, g, "POST", "/UUID/start", "etc on host: started", "rid") },
			func(t *testing.T, g got) {
				is(t, g, "POST", "/UUID/fail", failed+"\n\nlevel=INFO msg=\"all is well\"\n", "rid")
			},
		},
		"Uptime Kuma": {
			func(t *testing.T, g got) {
				is(t, g, "GET", "/api/push/TOKEN", "", "status=up", "msg=etc on host: ok, backup 2026-11-29-12:00", "ping=83000")
			},
			func(t *testing.T, g got) {
				is(t, g, "GET", "/api/push/TOKEN", "", "status=down", "msg="+failed, "ping=83000")
			},
		},
		"Cronitor": {
			func(t *testing.T, g got) {
				is(t, g, "GET", "/p/API-KEY/etc", "", "state=run", "series", "host=host", "message=etc on host: started")
			},
			func(t *testing.T, g got) {
				is(t, g, "GET", "/p/API-KEY/etc", "", "state=complete", "series", "host=host", "message=etc on host: ok, backup 2026-11-29-12:00", "status_code=0", "metric=duration:83")
			},
			func(t *testing.T, g got) {
				is(t, g, "GET", "/p/API-KEY/etc", "", "state=run", "series", "host=host", "message")
			},
			func(t *testing.T, g got) {
				is(t, g, "GET", "/p/API-KEY/etc", "", "state=fail", "series", "host=host", "message="+failed, "status_code=14", "metric=duration:83")
			},
		},
		"ntfy": {func(t *testing.T, g got) {
			is(t, g, "POST", "/TOPIC", failed)
			if g.Header.Get("Authorization") != "Bearer tk_secret" || g.Header.Get("Title") != "rsbtbackup" || g.Header.Get("Priority") != "high" {
				t.Errorf("headers %v", g.Header)
			}
		}},
		"Gotify": {func(t *testing.T, g got) {
			jsonBody(map[string]any{"title": "etc", "message": failed, "priority": 8.0})(t, g)
			if g.Header.Get("X-Gotify-Key") != "from a credential" || g.Path != "/message" {
				t.Errorf("%+v", g)
			}
		}},
		"Apprise": {
			jsonBody(map[string]any{"title": "etc", "body": "etc on host: ok, backup 2026-11-29-12:00", "type": "success"}),
			jsonBody(map[string]any{"title": "etc", "body": failed, "type": "failure"}),
		},
		"Slack": {jsonBody(map[string]any{"text": failed})},
	} {
		t.Run(name, func(t *testing.T) {
			s, log := newServer(t, nil), &said{}
			write(t, dir+"/gotify", "from a credential\n")
			write(t, dir+"/slack", s.URL+"/services/T/B/X\n")
			text := regexp.MustCompile(`https?://[a-z0-9.:-]+`).ReplaceAllString(all[name], s.URL)
			j := job(t, strings.ReplaceAll(text, "/etc/rsbtbackup.slack", dir+"/slack"))
			for _, end := range []jobs.Result{wellDone(j), pruneFailed(j)} {
				teller := newTeller(t.Context(), log)
				teller.Starts(j)
				settle(s, teller)
				teller.Done(end)
				teller.Wait()
			}
			if len(s.all()) != len(want) || log.String() != "" {
				t.Fatalf("%d requests, want %d; log %s", len(s.all()), len(want), log)
			}
			for i, g := range s.all() {
				want[i](t, g)
			}
		})
		delete(all, name)
	}
	if len(all) > 0 {
		t.Errorf("not tested: %v", all)
	}
}

// settle waits until no request is open, so that no message overtakes another.
func settle(_ *server, t *Teller) { t.work.Wait() }

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// is compares a request. A parameter without a value is one that is there.
func is(t *testing.T, g got, method, path, body string, query ...string) {
	t.Helper()
	if g.Method != method || g.Path != path || g.Body != body || len(g.Query) != len(query) || g.Header.Get("User-Agent") != "rsbtbackup/test" {
		t.Errorf("%+v\nwant %s %s %q %q", g, method, path, body, query)
	}
	for _, q := range query {
		name, value, given := strings.Cut(q, "=")
		if have := g.Query.Get(name); have == "" || given && have != value {
			t.Errorf("%s = %q, want %q", name, have, value)
		}
	}
}

func TestStartAndEndHaveOneRunID(t *testing.T) {
	s, log := newServer(t, nil), &said{}
	j := job(t, "ping.url = '"+s.URL+"/x?create=1'\n")
	teller := newTeller(t.Context(), log)
	teller.Starts(j)
	settle(s, teller)
	teller.Done(wellDone(j))
	teller.Wait()
	had := s.all()
	rid := had[0].Query.Get("rid")
	if len(had) != 2 || had[1].Query.Get("rid") != rid || had[0].Query.Get("create") != "1" || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(rid) {
		t.Errorf("%+v", had)
	}
}

// What happens to a message where the server does not take it at once; what the log says then, and that no secret is in
// it.
func TestServersThatFail(t *testing.T) {
	fails := func(code int) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, r *http.Request, n int) {
			http.Error(w, "I do not know "+r.URL.Path+"\nnor anything else", code)
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request, int)
		lines  string
		tries  int // that the server sees; 0: not all come so far in the time that they have
		says   string
	}{
		{"the third try", func(w http.ResponseWriter, r *http.Request, n int) {
			if n < 3 {
				w.WriteHeader(http.StatusBadGateway)
			}
		}, "", 3, ""},
		{"never", fails(503), "ping.retries = 2", 3, `err="503 Service Unavailable: I do not know ... (tried 3 times)"`},
		{"no further try", fails(500), "ping.retries = 0", 1, `err="500 Internal Server Error: I do not know ..."`},
		{"unknown", fails(404), "", 1, `err="404 Not Found: I do not know ..."`},
		{"too many requests", func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 1 {
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}, "", 2, ""},
		{"hangs", func(w http.ResponseWriter, r *http.Request, n int) { <-r.Context().Done() }, "ping.retries = 1\nping.timeout = '30ms'", 0, `err="no answer within 30ms (tried 2 times)"`},
		{"hangs up", func(w http.ResponseWriter, r *http.Request, n int) { panic(http.ErrAbortHandler) }, "ping.retries = 1", 2, `err="EOF (tried 2 times)"`},
		{"to a file", func(w http.ResponseWriter, r *http.Request, n int) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "", 1, `err="redirected to file:, which is neither http nor https"`},
		{"in a circle", func(w http.ResponseWriter, r *http.Request, n int) {
			http.Redirect(w, r, "/topsecret/again", http.StatusFound)
		}, "", 6, `err="redirected more than 5 times"`},
		{"to nowhere", func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("Location", "http://[topsecret")
			w.WriteHeader(http.StatusFound)
		}, "ping.retries = 0", 1, `failed to parse Location header`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, log := newServer(t, tt.answer), &said{}
			j := job(t, "ping.url = '"+s.URL+"/topsecret'\n"+tt.lines)
			teller := newTeller(t.Context(), log)
			teller.Done(wellDone(j))
			teller.Wait()
			if tt.tries > 0 && len(s.all()) != tt.tries || (tt.says == "") != (log.String() == "") || !strings.Contains(log.String(), tt.says) {
				t.Errorf("%d tries, log: %s", len(s.all()), log)
			}
			if strings.Contains(log.String(), "topsecret") && tt.name != "to nowhere" {
				t.Errorf("a secret is in the log: %s", log)
			}
			if tt.says != "" && !strings.Contains(log.String(), "url="+s.URL+"/...") {
				t.Errorf("who was not told? %s", log)
			}
		})
	}
}

// deaf returns an address that nobody listens on: a socket without listen(2) keeps others from it.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", addr.(*syscall.SockaddrInet4).Port)
}

func TestNobodyThere(t *testing.T) {
	addr := deaf(t)
	log := &said{}
	t.Setenv("RSBT_URL", "http://"+addr+"/topsecret")
	t.Setenv("RSBT_BAD", "ftp://x/topsecret")
	j := job(t, "ping.url = 'env:RSBT_URL'\nping.retries = 1\nhttp.a.url = 'env:RSBT_NONE'\nhttp.b.url = 'env:RSBT_BAD'\nhttp.c.url = 'http://127.0.0.1/'\nhttp.c.headers.X = 'file:/nowhere'\n")
	teller := newTeller(t.Context(), log)
	teller.Done(pruneFailed(j))
	teller.Wait()
	for _, want := range []string{
		"key=ping.url url=env:RSBT_URL err=\"dial tcp " + addr + ": connect: connection refused (tried 2 times)\"",
		"key=http.a url=env:RSBT_NONE err=\"secret env:RSBT_NONE: the variable is not set\"",
		"key=http.b url=env:RSBT_BAD err=\"want a URL that begins with https:// or http://\"",
		"key=http.c url=http://127.0.0.1/... err=\"header X: secret file:/nowhere: open /nowhere: no such file or directory\"",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
	if strings.Contains(log.String(), "topsecret") {
		t.Errorf("a secret is in the log: %s", log)
	}
}

// Another host gets neither the headers nor the address that sent us there.
func TestRedirectToAnotherHost(t *testing.T) {
	other := newServer(t, nil)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
		http.Redirect(w, r, other.URL+"/new", http.StatusTemporaryRedirect)
	})
	log := &said{}
	j := job(t, "[job.etc.http.a]\nurl = '"+s.URL+"/topsecret'\nheaders = { X-Key = 'topsecret', Authorization = 'topsecret' }\n")
	teller := newTeller(t.Context(), log)
	teller.Done(pruneFailed(j))
	teller.Wait()
	had := other.all()
	if len(had) != 1 || had[0].Method != "POST" || had[0].Path != "/new" || !strings.Contains(had[0].Body, "etc on host: failed") {
		t.Fatalf("%+v, %s", had, log)
	}
	if text := fmt.Sprint(had[0]); strings.Contains(text, "topsecret") {
		t.Errorf("a secret went elsewhere: %s", text)
	}
	if s.all()[0].Header.Get("X-Key") != "topsecret" {
		t.Errorf("%+v", s.all())
	}
}

func TestCheckRedirectKeepsHTTPS(t *testing.T) {
	at := func(text string) *http.Request {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{URL: u, Header: http.Header{}}
	}
	if err := checkRedirect(at("http://a/"), []*http.Request{at("https://a/")}); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Error(err)
	}
	if err := checkRedirect(at("https://a/"), []*http.Request{at("http://a/")}); err != nil {
		t.Error(err)
	}
}

// The end of a job does not wait for the tries of its start, and comes after it.
func TestTheEndComesAfterTheStart(t *testing.T) {
	begun := make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			close(begun)
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	j := job(t, "ping.url = '"+s.URL+"/x'\n")
	teller := newTeller(t.Context(), &said{})
	teller.sender.pause = time.Hour
	teller.Starts(j)
	<-begun
	teller.Done(wellDone(j))
	teller.Wait()
	had := s.all()
	if len(had) != 2 || had[0].Path != "/x/start" || had[1].Path != "/x" {
		t.Errorf("%+v", had)
	}
}

// When the run is stopped, what is still to be told gets one try, and a server that hangs does not hold it up. Where a
// busy machine does not get as far in the time that is left, there is twice the time.
func TestStopped(t *testing.T) {
	last, said, ok := 50*time.Millisecond, "", false
	for ; !ok && last < time.Minute; last *= 2 {
		said, ok = stopped(t, last)
	}
	if !ok {
		t.Errorf("within %v: %s", last, said)
	}
}

func stopped(t *testing.T, last time.Duration) (string, bool) {
	hangs := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) { <-r.Context().Done() })
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, n int) { w.WriteHeader(http.StatusBadGateway) })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("got SIGTERM"))
	log := &said{}
	teller := newTeller(ctx, log)
	teller.Last, teller.sender.pause = last, time.Hour
	teller.Done(pruneFailed(job(t, "ping.url = '"+hangs.URL+"/x'\nping.timeout = '1h'\n[job.etc.http.a]\nurl = '"+s.URL+"/x'\n")))
	teller.Wait()
	if len(s.all()) > 1 || len(hangs.all()) > 1 || !strings.Contains(log.String(), "got SIGTERM") {
		t.Errorf("%+v, %+v\n%s", s.all(), hangs.all(), log)
	}
	return log.String(), len(s.all()) == 1 && len(hangs.all()) == 1 && strings.Contains(log.String(), "502 Bad Gateway")
}

// A disk that may be absent, and is, is nothing to tell; a backup that is new enough is good news, unless a step of the
// job still fails.
func TestSkippedAndFresh(t *testing.T) {
	s := newServer(t, nil)
	j := job(t, "ping.url = '"+s.URL+"/x'\n")
	teller := newTeller(t.Context(), &said{})
	failing := jobs.State{Steps: map[jobs.Step]jobs.StepState{jobs.Verify: {Failure: &jobs.Failure{At: time.Now(), Step: jobs.Verify}}}}
	fresh := []jobs.Verdict{{Step: jobs.Backup, Status: jobs.Fresh}}
	teller.Done(jobs.Result{Job: j, Verdicts: []jobs.Verdict{{Step: jobs.Backup, Status: jobs.Skipped}}})
	teller.Done(jobs.Result{Job: j, Verdicts: fresh, State: failing})
	teller.Done(jobs.Result{Job: j, Verdicts: fresh})
	teller.Wait()
	if had := s.all(); len(had) != 1 || had[0].Path != "/x" || had[0].Body != "etc on host: fresh" {
		t.Errorf("%+v", had)
	}
}

// asTeller makes the test binary tell once: the proxy of the environment is read once in a process.
const asTeller = "RSBTBACKUP_TEST_TELL"

func TestMain(m *testing.M) {
	if lines := os.Getenv(asTeller); lines != "" {
		c, err := config.Parse("c.toml", []byte(lines))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		log := &said{}
		teller := newTeller(context.Background(), log)
		teller.Done(wellDone(c.Jobs[0]))
		teller.Wait()
		fmt.Fprint(os.Stderr, log)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestProxy(t *testing.T) {
	proxy := newServer(t, nil)
	self := exec.CommandContext(t.Context(), os.Args[0])
	self.Env = append(os.Environ(), "HTTP_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=", asTeller+"=[job.etc]\nsource = '/etc'\ndest = '/b'\nping.url = 'http://hc.example/x'\n")
	out, err := self.CombinedOutput()
	had := proxy.all()
	if err != nil || len(out) > 0 || len(had) != 1 || had[0].Host != "hc.example" || had[0].Path != "/x" {
		t.Errorf("%v, %s, %+v", err, out, had)
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{"short": "short", "exact": "exact", "longer": "longe...", "abcdö": "abcd..."} {
		if got := cut(in, 5); got != want {
			t.Errorf("cut(%q) = %q", in, got)
		}
	}
}

// TestASecretThatAServerRepeats: a server says which token it does not know, without what was around it.
func TestASecretThatAServerRepeats(t *testing.T) {
	for _, tt := range []struct{ path, lines string }{
		{"/bot42:to-p_secret1/sendMessage", ""},
		{"/to-p_secret1", ""},
		{"/message?priority=5&token=to-p_secret1", ""},
		{"/message", "headers.Authorization = 'Bearer to-p_secret1'\n"},
	} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			http.Error(w, "no such token to-p_secret1 (to-p_secret1)", http.StatusUnauthorized)
		})
		var log bytes.Buffer
		teller := New(t.Context(), Options{Host: "host", Exit: func(jobs.Result) int { return 1 }, Now: time.Now,
			Log: func(config.Job) *slog.Logger { return slog.New(slog.NewTextHandler(&log, nil)) }})
		teller.Starts(job(t, "[job.etc.http.a]\nurl = '"+s.URL+tt.path+"'\non = ['start']\n"+tt.lines))
		teller.Wait()
		if text := log.String(); strings.Contains(text, "secret1") || !strings.Contains(text, "401 Unauthorized: no such token ...") {
			t.Errorf("%s %s: %s", tt.path, tt.lines, text)
		}
	}
}
