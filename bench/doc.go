// Package bench measures rsbtbackup beside its peers: each benchmark runs both
// in turn on the same file system and reports the ratio, because the machines
// are noisy and only a ratio in one run says anything. Run it with
//
//	make bench
//	make bench BENCH=FirstBackup
package bench
