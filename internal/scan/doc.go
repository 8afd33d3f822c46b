// Package scan finds out what changed below a directory since the last backup of it, so that rsync need look only at
// that.
//
// A walk of the source reads names and inodes and opens no file. What it found is written to a catalog, and compared
// on the way with the catalog of the last backup. An entry that is equal in
// everything, its ctime to the nanosecond included, is unchanged; what differs becomes a list for rsync, which still
// reads, copies, deletes and decides.
//
// The catalog says what the source was before rsync looked at it. Between the two the source may change, so after the
// transfer Settle examines the directories again, and those that changed meanwhile are listed again in the next run.
// Anything that is not understood is an error, and an error means that everything is compared: never a missed change,
// at worst a full run.
package scan
