// Package reflink copies a tree by sharing its blocks, within one btrfs.
package reflink
