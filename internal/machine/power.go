package machine

import (
	"io/fs"
	"os"
	"path"
	"strings"
)

// OnBattery asks the kernel whether this machine runs on battery.
func OnBattery() bool { return onBattery(os.DirFS("/sys/class/power_supply")) }

// onBattery: no external supply is online, and there is a battery that is discharging, or a battery and an unplugged
// supply, because the battery may also be "Not charging" or "Unknown". The supply of a laptop may be of type USB.
// Batteries of mice and other devices do not count: their scope is Device.
func onBattery(supplies fs.FS) bool {
	entries, err := fs.ReadDir(supplies, ".")
	if err != nil {
		return false
	}
	battery, offline, discharging := false, false, false
	for _, e := range entries {
		read := func(name string) string {
			data, err := fs.ReadFile(supplies, path.Join(e.Name(), name))
			if err != nil {
				return ""
			}
			return strings.TrimSpace(string(data))
		}
		switch kind, online := read("type"), read("online"); {
		case read("scope") == "Device":
		case kind == "Battery":
			battery, discharging = true, discharging || read("status") == "Discharging"
		case (kind == "Mains" || kind == "USB") && online != "" && online != "0": // a USB supply may say 2: programmable
			return false
		case kind == "Mains" && online == "0":
			offline = true
		}
	}
	return discharging || battery && offline
}
