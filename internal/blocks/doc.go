// Package blocks copies only the new parts of a large file, and does not read the rest.
//
// btrfs reports the extents of a file. Data that was at an address at the last backup, and whose extent has existed
// without a break since then, is the same data, because btrfs never overwrites data that is in use. So the addresses
// are stored for the next run, and data at other addresses is read. The generation of a file extent does not prove that
// the data is old: a clone, a deduplication and a balance keep the number.
//
// This requires that the backup has the content that the file had when its addresses were noted. If that is uncertain,
// or the file is written to meanwhile, the file gets a time that no source has, and rsync copies it.
package blocks
