// Package tell reports the results of jobs to servers.
//
//	tell.go     who gets which report, in which order, and for how long it is tried
//	request.go  from a job to requests: pure
//	send.go     one request: proxy, redirects, retries, no secret in an error
//
// A failure to report is a warning, and does not delay jobs.
package tell
