// Package diff finds what changed between two backups, and the versions of a path.
//
// stream.go finds the differences by the send stream of the kernel, tree.go by walking both; match.go pairs names,
// same.go decides whether two files are the same.
package diff
