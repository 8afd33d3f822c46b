package backup

import "log/slog"

// teller passes on what a run has to tell: to the log at once, and to the report in the end.
type teller struct {
	log              *slog.Logger
	notices, repairs []string
}

// notice is for what the user should know although the run goes on.
func (t *teller) notice(text string) {
	t.log.Warn(text)
	t.record(text)
}

// record is a notice that the log has in another form.
func (t *teller) record(text string) { t.notices = append(t.notices, text) }

// repaired is for what was put right, which the log has already.
func (t *teller) repaired(texts ...string) { t.repairs = append(t.repairs, texts...) }
