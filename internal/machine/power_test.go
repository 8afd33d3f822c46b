package machine

import (
	"testing"
	"testing/fstest"
)

// supply is the files of one directory in /sys/class/power_supply.
type supply map[string]string

func TestOnBattery(t *testing.T) {
	laptop := func(status, online string) map[string]supply {
		return map[string]supply{
			"BAT0": {"type": "Battery", "scope": "System", "status": status},
			"AC":   {"type": "Mains", "online": online},
		}
	}
	for name, tt := range map[string]struct {
		supplies map[string]supply
		want     bool
	}{
		"a server":                        {nil, false},
		"a laptop, plugged in":            {laptop("Charging", "1"), false},
		"full":                            {laptop("Full", "1"), false},
		"plugged in, and drains":          {laptop("Discharging", "1"), false},
		"unplugged":                       {laptop("Discharging", "0"), true},
		"unplugged, status not known":     {laptop("Unknown", "0"), true},
		"no supply is listed":             {map[string]supply{"BAT0": {"type": "Battery", "status": "Discharging"}}, true},
		"charging by USB":                 {map[string]supply{"BAT0": {"type": "Battery", "status": "Charging"}, "ucsi": {"type": "USB", "online": "1"}}, false},
		"an empty USB port beside mains":  {map[string]supply{"BAT0": {"type": "Battery", "status": "Full"}, "AC": {"type": "Mains", "online": "1"}, "ucsi": {"type": "USB", "online": "0"}}, false},
		"a mouse at a server":             {map[string]supply{"hid-1": {"type": "Battery", "scope": "Device", "status": "Discharging"}}, false},
		"a desktop with empty USB ports":  {map[string]supply{"ucsi": {"type": "USB", "online": "0"}}, false},
		"an uninterruptible power supply": {map[string]supply{"ups": {"type": "UPS", "status": "Discharging"}}, false},
	} {
		files := fstest.MapFS{}
		for dir, s := range tt.supplies {
			for file, text := range s {
				files[dir+"/"+file] = &fstest.MapFile{Data: []byte(text + "\n")}
			}
		}
		if got := onBattery(files); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestMeteredProperty(t *testing.T) {
	for text, want := range map[string]bool{"u 0\n": false, "u 1\n": true, "u 2\n": false, "u 3\n": true, "u 4\n": false, "": false, "s \"x\"\n": false} {
		if metered(text) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}
