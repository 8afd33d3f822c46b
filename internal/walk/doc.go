// Package walk goes through a tree in parallel, by descriptors, in bounded memory.
package walk
