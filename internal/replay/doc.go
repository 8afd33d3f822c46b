// Package replay applies a send stream without data to a tree of names, and finds which names and files it touches. It
// is pure.
package replay
