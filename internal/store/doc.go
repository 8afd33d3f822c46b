// Package store is DEST on disk: the names in it, its lock, its log, its records, and the steps that make, publish and
// delete a backup. Everything below DEST is reached through two descriptors that are resolved once. It contains no
// policy.
package store
