// Package replay plays a send stream without data on a tree of names, and tells which names and files it touches. It is
// pure.
package replay
