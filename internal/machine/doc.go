// Package machine tells what this machine runs on: mains or battery, a link that is paid by volume or not.
//
// What is not known is no reason to leave a backup out: then it is mains, and not paid by volume.
package machine
