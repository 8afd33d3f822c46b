package machine

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// answerWait is how long NetworkManager may take to answer.
const answerWait = 5 * time.Second

// Metered asks NetworkManager whether the connection to the Internet is metered, as far as it knows or guesses.
func Metered(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	const name, object = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
	out, err := exec.CommandContext(ctx, "busctl", "--system", "--auto-start=no", "get-property", name, object, name, "Metered").Output()
	return err == nil && metered(string(out))
}

// metered reads an NMMetered as busctl prints it: 1 is yes, 3 is a guess that it is metered.
func metered(property string) bool {
	property = strings.TrimSpace(property)
	return property == "u 1" || property == "u 3"
}
