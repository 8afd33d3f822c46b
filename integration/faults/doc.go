// Package faults breaks everything around a backup that can be broken, one named test for each fault, and asks the same
// questions after each: see invariant_test.go for them, and docs/RELIABILITY.md for the table of faults.
//
// FAULTS=dense tries every point of a sweep instead of a sample.
package faults
