package units

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Cron is the text of a file for /etc/cron.d. Whatever the run prints, except the table, is mailed to root.
func (s Started) Cron() (string, error) {
	line, err := s.CronLine("root ")
	if err != nil {
		return "", err
	}
	return Marker(s.Name) + "\n# It is written anew by the next --install.\n" +
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nMAILTO=root\n" + line + "\n", nil
}

// CronLine is a line of a crontab. In /etc/cron.d it names the user before the command.
func (s Started) CronLine(user string) (string, error) {
	fields, err := CronFields(s.On)
	if err != nil {
		return "", err
	}
	words := s.command()
	for i, w := range words {
		if strings.ContainsAny(w, "\n\r\x00") {
			return "", fmt.Errorf("a crontab cannot have %q in a line", w)
		}
		words[i] = shellWord(w)
	}
	return fmt.Sprintf("%s %s%s >/dev/null", fields, user, strings.Join(words, " ")), nil
}

// CronFile is the name of the file in /etc/cron.d. cron ignores names with a dot.
func CronFile(name string) string { return strings.ReplaceAll(name, ".", "_") }

var shorthands = map[string]string{
	"minutely": "* * * * *", "hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *",
	"quarterly": "0 0 1 1,4,7,10 *", "semiannually": "0 0 1 1,7 *", "yearly": "0 0 1 1 *", "annually": "0 0 1 1 *",
}

var (
	calendar = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:([A-Za-z,.]+)(?: +|$))?(?:\*-(\S+)-(\S+)(?: +|$))?(?:([^\s:]+):([^\s:]+)(?::00)?)?$`)
	})
	item = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:(\*)|([0-9]{1,2})(?:\.\.([0-9]{1,2}))?)(?:/([0-9]{1,2}))?$`)
	})
	days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// CronFields converts a calendar expression of systemd to the five fields of a crontab. cron can express days of the
// week or a day of the month, and a time to the minute.
func CronFields(on string) (string, error) {
	if fields, ok := shorthands[strings.ToLower(strings.TrimSpace(on))]; ok {
		return fields, nil
	}
	no := func() (string, error) {
		return "", fmt.Errorf("cron cannot start anything at %q: want such as daily, 02:30, \"Mon..Fri 02:30\" or \"*-*-01 02:30\"", on)
	}
	m := calendar().FindStringSubmatch(strings.TrimSpace(on))
	if m == nil || m[1]+m[2]+m[4] == "" {
		return no()
	}
	weekday, ok := cronDays(m[1])
	fields := []string{"0", "0", "*", "*", weekday}
	for i, f := range []struct {
		text      string
		low, high int
	}{{m[5], 0, 59}, {m[4], 0, 23}, {m[3], 1, 31}, {m[2], 1, 12}} {
		if f.text == "" {
			continue
		}
		text, good := cronField(f.text, f.low, f.high)
		ok = ok && good
		fields[i] = text
	}
	// If a day of the month and one of the week are given, cron starts on either, systemd only if both match.
	if !ok || fields[2] != "*" && weekday != "*" {
		return no()
	}
	return strings.Join(fields, " "), nil
}

func cronField(text string, low, high int) (string, bool) {
	var items []string
	for part := range strings.SplitSeq(text, ",") {
		m := item().FindStringSubmatch(part)
		if m == nil {
			return "", false
		}
		from, to := number(m[2], low), number(m[3], number(m[2], high))
		step := number(m[4], 1)
		if m[4] != "" && m[3] == "" {
			to = high // 5/15 is from 5 on
		}
		if from < low || to > high || from > to || step < 1 {
			return "", false
		}
		items = append(items, cronItem(from, to, step, from == low && to == high))
	}
	return strings.Join(items, ","), true
}

func cronItem(from, to, step int, all bool) string {
	text := strconv.Itoa(from)
	switch {
	case all:
		text = "*"
	case from != to:
		text += "-" + strconv.Itoa(to)
	}
	if step > 1 {
		text += "/" + strconv.Itoa(step)
	}
	return text
}

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return otherwise
}

// cronDays converts "Mon..Fri", "Sat,Sun" or an empty text. Names of days may be written in full.
func cronDays(text string) (string, bool) {
	if text == "" {
		return "*", true
	}
	var items []string
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "..")
		from, to := dayNumber(first), dayNumber(last)
		switch {
		case from < 0 || isRange && to < 0:
			return "", false
		case !isRange:
			items = append(items, strconv.Itoa(from))
		default:
			if to < from {
				to += 7 // Fri..Mon goes over the end of the week
			}
			for day := from; day <= to; day++ {
				items = append(items, strconv.Itoa(day%7))
			}
		}
	}
	return strings.Join(items, ","), true
}

func dayNumber(name string) int {
	return slices.IndexFunc(days, func(day string) bool {
		full := map[string]string{"sun": "sunday", "mon": "monday", "tue": "tuesday", "wed": "wednesday", "thu": "thursday", "fri": "friday", "sat": "saturday"}
		return strings.EqualFold(name, day) || strings.EqualFold(name, full[day])
	})
}
