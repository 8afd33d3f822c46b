// Package fail files errors under the kinds that package facts has, and says in which step they came up.
package fail
