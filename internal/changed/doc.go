// Package changed decides whether a backup would equal the last one, so that it need not be published.
//
// [Why] decides, and is pure. [Compare] looks for differences where rsync's messages are not enough: pending was
// prepared for rsync, so changes there may only undo the preparation, and rsync does not report that two names have
// become two files. If in doubt, it counts as a change.
//
// [Differs] compares pending with the source, after renames were repeated there: if nothing differs, rsync is not run.
package changed
