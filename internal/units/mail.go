package units

import "strings"

// MailTemplate is the unit that OnFailure= names. The instance is the unit that failed, without its suffix.
const MailTemplate = "rsbtbackup-mail@.service"

// Mail is the text of the template, for the manager of the system or of a user. Within quotes systemd replaces \n by a
// line break, $$ by $ and %% by %.
func Mail(user bool) string {
	if user {
		return strings.NewReplacer("USER ", "--user ", "WHOM", "the user").Replace(mail)
	}
	return strings.NewReplacer("USER ", "", "WHOM", "root").Replace(mail) + mailSandbox
}

// mailSandbox is for the manager of the system: in that of a user each of its options would imply NoNewPrivileges=,
// with which set-id transports cannot deliver (dma 0.13 fails even for root). A transport changes to other users,
// writes mailboxes and its queue in /var and /home, and opens its own port. It continues after the unit has ended, so
// /tmp is not private. ProcSubset=pid would hide the boot ID, and the mail would have no log. MemoryDenyWriteExecute=
// could stop a program that a transport asks for a password.
const mailSandbox = `
# What transports need: to become other users, to write to /var and to homes, and the network.
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_NET_BIND_SERVICE
ProtectSystem=full
PrivateDevices=true
PrivateMounts=true
ProtectProc=invisible
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
`

const mail = `# The mail about a unit of rsbtbackup that failed: its state, and the last lines of its log.
# It goes to WHOM. To send it elsewhere: systemctl USER edit rsbtbackup-mail@.service
# and there:   [Service]
#              Environment=MAILTO=you@example.org
[Unit]
Description=Mail about the failure of %i
Documentation=man:rsbtbackup(8)

[Service]
Type=oneshot
# Mail transports deliver in the background, and must not be ended with this unit.
KillMode=process
Environment=MAILTO=%u
ExecStart=/bin/sh -c '{ printf "To: %%s\nSubject: %%s: %%s failed\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\n" "$$MAILTO" "$$(uname -n)" "$$1"; systemctl USER status --full --no-pager --lines=100 "$$1.service"; } | /usr/sbin/sendmail -i -t' sh %i
`
