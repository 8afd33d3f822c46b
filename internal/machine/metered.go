package machine

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// patience is how long NetworkManager may take to answer.
const patience = 5 * time.Second

// Metered asks NetworkManager whether the link to the Internet is paid by volume, as far as it knows or guesses.
func Metered(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const name, object = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
	out, err := exec.CommandContext(ctx, "busctl", "--system", "--auto-start=no", "get-property", name, object, name, "Metered").Output()
	return err == nil && metered(string(out))
}

// metered reads what busctl prints of an NMMetered: 1 is yes, 3 a guess that it is so.
func metered(property string) bool {
	property = strings.TrimSpace(property)
	return property == "u 1" || property == "u 3"
}
