#!/bin/sh
# Timers of "rsbtbackup schedule" end with the command that they start; an upgrade (dpkg: upgrade, rpm: 1) leaves them.
# Their units and the config stay.
set -e
case $1 in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	for timer in /etc/systemd/system/rsbtbackup-*.timer; do
		[ ! -e "$timer" ] || systemctl disable --now "${timer##*/}"
	done
fi
