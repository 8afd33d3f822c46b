// Package scan finds out what changed below a directory since its last backup, so that rsync needs to examine only
// that.
//
// A walk of the source reads names and inodes and opens no file. Its result is written to a catalog, and compared with
// the catalog of the last backup. An entry that is equal in everything, including its ctime to the nanosecond, is
// unchanged. All others become a list for rsync, which still reads, copies, deletes and decides.
//
// The catalog describes the source before rsync read it. The source may change in between, so after the transfer Settle
// examines the directories again, and the next run lists those that changed. If anything is unclear, there is an error,
// and an error means that everything is compared: the worst case is a full run, never a missed change.
package scan
