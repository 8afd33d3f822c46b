// Package browse lists backups and what is in them, and opens their files.
package browse
