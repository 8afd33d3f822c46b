// Package catalog is the format in which a scan records what it saw below a directory: the names and inodes of each
// directory, as a stream in a fixed order.
//
// Each directory is coded by itself, so two that are equal have the same code and need not be decoded to be compared.
// A checksum covers everything. What a Reader does not understand is an error that matches ErrUnusable.
package catalog
