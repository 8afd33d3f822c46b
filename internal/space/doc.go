// Package space measures the data that only certain backups hold, and so what their deletion would free.
package space
