// Package diff tells what changed between two backups, and which versions of a path there are.
//
// stream.go finds the differences by the send stream of the kernel, tree.go by walking both; match.go pairs names,
// same.go proves that two files are one.
package diff
