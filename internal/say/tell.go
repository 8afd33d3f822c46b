package say

import "log/slog"

// Teller collects the notices of a run: the log gets them at once, the report at the end.
type Teller struct {
	Log              *slog.Logger
	Notices, Repairs []string
}

// Notice is for what the user should know although the run continues.
func (t *Teller) Notice(text string) {
	t.Log.Warn(text)
	t.Record(text)
}

// Record is for a notice that the log has in another form.
func (t *Teller) Record(text string) { t.Notices = append(t.Notices, text) }

// Repaired is for repairs, which the log already has.
func (t *Teller) Repaired(texts ...string) { t.Repairs = append(t.Repairs, texts...) }
