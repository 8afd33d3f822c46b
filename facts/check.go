package facts

// CheckLevel is how bad it is.
type CheckLevel string

const (
	// CheckOK: as it should be.
	CheckOK CheckLevel = "ok"
	// CheckWarn: worth a look, but backups go on and can be restored.
	CheckWarn CheckLevel = "warn"
	// CheckFail: somebody must do something.
	CheckFail CheckLevel = "fail"
)

// CheckResult is the answer to one question.
type CheckResult struct {
	// Name is backup, cur, pending, records, verified, space, metadata, devices, mount or log; or open, which then is
	// the only one.
	Name  string     `json:"name"`
	Level CheckLevel `json:"level"`
	Text  string     `json:"text"`
}
