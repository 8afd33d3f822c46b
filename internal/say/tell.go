package say

import "log/slog"

// Teller passes on what a run has to tell: to the log at once, and to the report in the end.
type Teller struct {
	Log              *slog.Logger
	Notices, Repairs []string
}

// Notice is for what the user should know although the run goes on.
func (t *Teller) Notice(text string) {
	t.Log.Warn(text)
	t.Record(text)
}

// Record is a notice that the log has in another form.
func (t *Teller) Record(text string) { t.Notices = append(t.Notices, text) }

// Repaired is for what was put right, which the log has already.
func (t *Teller) Repaired(texts ...string) { t.Repairs = append(t.Repairs, texts...) }
