// Package say has the words that messages share.
package say
