// Package catalog is the format in which a scan records the names and inodes below a directory, as a stream in a fixed
// order.
//
// Each directory is coded separately, so equal directories have equal codes and are compared without decoding. A
// checksum covers everything. Invalid data causes an error that matches ErrUnusable.
package catalog
