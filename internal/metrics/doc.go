// Package metrics writes the state of jobs for Prometheus: a file for the textfile collector of node_exporter.
//
//	textfile.go  when it is written, and of what
//	format.go    from what is remembered of jobs to lines: pure
//	replace.go   the file put in the place of the last one
package metrics
