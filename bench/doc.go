// Package bench measures rsbtbackup beside its peers: each benchmark runs both in turn on the same file system and
// reports the ratio, because the machines are noisy and only a ratio in one run says anything. Run it with
//
//	make gobench
//	make gobench BENCH=FirstBackup
//
// What anyone can measure beside other backup programs is the command in compare: make bench.
package bench
