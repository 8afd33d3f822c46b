// Package packages asks of what is handed out that it installs, works, upgrades and goes, that its pages are in
// order, and that the same commit makes the same bytes.
package packages
