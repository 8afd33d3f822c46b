// Package check answers the questions that a monitor asks about a DEST. It takes no lock and changes nothing.
//
// check.go and read.go read, verdicts.go decides.
package check
