// Package tell tells servers how the jobs of a run are.
//
//	tell.go     who is told what, in which order, and for how long it is tried
//	request.go  from a job to requests: pure
//	send.go     one request: proxy, redirects, retries, no secret in an error
//
// That somebody cannot be told is a warning, and holds up no job.
package tell
