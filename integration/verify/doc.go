// Package verify tests the verbs verify and check, the sizes that list shows, and what other verbs say of damaged
// files.
package verify
