// Package subvol removes subvolumes, also as an ordinary user and with others nested in them.
package subvol
