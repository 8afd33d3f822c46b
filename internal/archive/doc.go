// Package archive is the format in which a backup goes to another host or into a file: a line of JSON that describes
// it, the send stream, and a line of JSON with the SHA-256 of everything before. Over ssh it has no SHA-256: ssh has
// checksums of its own, each command of the stream has one, and the last line has the length.
//
// It also says which record goes with a backup, and what in a record that came with one is believed.
package archive
