// Package share makes the part of smb.conf with which Windows shows the backups of a directory as previous versions.
//
//	share.go   what is to be shared, read from DEST and the disk
//	stanza.go  the text for smb.conf, and what it does not show: pure
package share
