// Package changed decides whether a backup would hold nothing but what the last one holds, so that it need not be
// published.
//
// [Why] decides, and is pure. [Compare] looks for differences where rsync's word is not enough: pending was prepared
// for rsync, so what rsync puts right there says nothing, and rsync does not tell that two names have become two files.
// Whatever is in doubt counts as a change.
package changed
