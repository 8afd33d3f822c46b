// Package say has the phrases that messages share.
package say
