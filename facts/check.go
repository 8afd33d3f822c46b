package facts

// CheckLevel is the severity of a CheckResult.
type CheckLevel string

const (
	// CheckOK: as it should be.
	CheckOK CheckLevel = "ok"
	// CheckWarn: should be looked at, but backups still run and can be restored.
	CheckWarn CheckLevel = "warn"
	// CheckFail: needs action.
	CheckFail CheckLevel = "fail"
)

// CheckResult is the answer to one question.
type CheckResult struct {
	// Name is backup, cur, pending, records, verified, space, metadata, devices, mount or log; or open, if DEST could
	// not be opened; then it is the only result.
	Name  string     `json:"name"`
	Level CheckLevel `json:"level"`
	Text  string     `json:"text"`
}
