// Package facts has the nouns of the library: a backup, its record, a damaged file, a difference, and the kinds of
// errors. They are used in several reports, and some of them are stored on disk. Package rsbtbackup has each of them
// under the same name, so a program need not import this package.
package facts
