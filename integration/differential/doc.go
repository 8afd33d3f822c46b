// Package differential holds a differential test: a tree is changed at random, backed up after each round in each
// transfer mode, and every backup ever taken must stay equal, in content and metadata, to a plain copy of the tree that
// was made without rsync at that time.
//
// How it works, file by file:
//
//	episode_test.go   one seed: a source, its destinations, rounds of change, backup and comparison
//	world_test.go     the source tree and what is drawn at random: names, times, contents
//	change_*_test.go  the table of changes, one function for each
//	interrupt_test.go runs that are cut short, and what is done to the leftovers
//	manifest_test.go  what a tree is, written down: one line for each name
//	copy_test.go      the plain copy kept aside
//
// An episode depends on nothing but its seed and runs the same way again, times included. Only the moment at which an
// interrupted run stops is real time: what is left behind then varies, what must come out does not.
//
// Beside it stand the cases with a name of their own: hard links that part (hardlink_test.go), sparse files
// (sparse_test.go), paths deeper than the kernel takes (deep_test.go).
package differential
