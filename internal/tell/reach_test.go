package tell

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Reach asks for nothing but the top of a site, and names what is wrong without the secret.
func TestReach(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String())
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	t.Cleanup(server.Close)
	t.Setenv("TOKEN", "")
	text := "[job.etc.ping]\nurl = '" + server.URL + "/secret-uuid'\n" +
		"[job.etc.http.gone]\nurl = 'http://" + deaf(t) + "/secret-uuid'\n[job.etc.http.lost]\nurl = 'file:/nonexistent'\n" +
		"[job.etc.http.token]\nurl = '" + server.URL + "'\nheaders = {Authorization = 'env:TOKEN'}\n"
	answers := map[string]string{}
	for _, a := range Reach(t.Context(), job(t, text)) {
		answers[a.What] = ""
		if a.Err != nil {
			answers[a.What] = a.Err.Error()
		}
	}
	for what, want := range map[string]string{"ping": "", "http.gone": "refused", "http.lost": "/nonexistent", "http.token": "the variable is not set"} {
		got, there := answers[what]
		if !there || (got == "") != (want == "") || !strings.Contains(got, want) || strings.Contains(got, "uuid") {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	if got := strings.Join(asked, ", "); got != "HEAD /, HEAD /" {
		t.Errorf("asked: %s", got)
	}
}
