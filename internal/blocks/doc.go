// Package blocks copies of a large file what is new in it, and does not read the rest.
//
// btrfs says where the data of a file lies. What lay there at the last backup, and has been there without a break, is
// the same data: btrfs writes nothing twice in one place as long as anybody uses it. So the places are kept for the
// next run, and what lies elsewhere by then is read. That a piece of a file is old by its generation proves nothing: a
// clone, a deduplication and a balance keep the number.
//
// It rests on the backup holding what the file was when its places were noted. Where that is not known, or the file is
// written to meanwhile, it is left to rsync, by a time that no source has.
package blocks
