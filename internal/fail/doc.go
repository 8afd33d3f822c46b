// Package fail marks errors with one of the kinds of package facts, and with the step in which they occurred.
package fail
