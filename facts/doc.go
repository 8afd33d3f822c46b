// Package facts has the nouns of the library: a backup, its record, a damaged file, a difference, and the kinds of
// errors. They stand in several reports, and some of them on disk. Package rsbtbackup gives each of them under the same
// name, so a program needs no import of this package.
package facts
