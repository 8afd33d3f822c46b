package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// results are what was measured, and on what.
type results struct {
	Machine  string    `json:"machine"`
	Quick    bool      `json:"quick"`
	Rounds   int       `json:"rounds"`
	Tree     string    `json:"tree"`
	Programs []program `json:"programs"`
	Rows     []row     `json:"rows"`
}

// program is one of those that were to be measured.
type program struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Missing bool   `json:"missing,omitempty"`
}

// row is a program in a scenario, with what each round gave.
type row struct {
	Scenario string    `json:"scenario"`
	Program  string    `json:"program"`
	Seconds  []float64 `json:"seconds"`
	Added    *int64    `json:"added_bytes,omitempty"` // on the destination, metadata included, in the last round
}

func (r *results) add(scenario, program string, took time.Duration, added *int64) {
	i := slices.IndexFunc(r.Rows, func(w row) bool { return w.Scenario == scenario && w.Program == program })
	if i < 0 {
		r.Rows = append(r.Rows, row{Scenario: scenario, Program: program})
		i = len(r.Rows) - 1
	}
	w := &r.Rows[i]
	w.Seconds = append(w.Seconds, took.Seconds())
	if added != nil {
		w.Added = added
	}
}

// scenarios are the names, in the order they were measured in.
func (r *results) scenarios() []string {
	var names []string
	for _, w := range r.Rows {
		if !slices.Contains(names, w.Scenario) {
			names = append(names, w.Scenario)
		}
	}
	return names
}

// of are the rows of a scenario, the fastest first.
func (r *results) of(scenario string) []row {
	var rows []row
	for _, w := range r.Rows {
		if w.Scenario == scenario {
			rows = append(rows, w)
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return int((median(a.Seconds) - median(b.Seconds)) * 1e6) })
	return rows
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// table is Markdown.
func (r *results) table() string {
	var b strings.Builder
	how := "full"
	if r.Quick {
		how = "quick"
	}
	fmt.Fprintf(&b, "%s; a %s run, %d rounds; %s.\n", r.Machine, how, r.Rounds, r.Tree)
	for _, p := range r.Programs {
		if p.Missing {
			fmt.Fprintf(&b, "%s is missing.\n", p.Name)
		}
	}
	b.WriteString(r.overview())
	for _, s := range r.scenarios() {
		rows := r.of(s)
		fmt.Fprintf(&b, "\n| %s | median | from - to | ours beside it | added |\n|---|---|---|---|---|\n", s)
		for _, w := range rows {
			added := "-"
			if w.Added != nil {
				added = bytesText(*w.Added)
			}
			fmt.Fprintf(&b, "| %s | %s | %s - %s | %s | %s |\n", w.Program, seconds(median(w.Seconds)),
				seconds(slices.Min(w.Seconds)), seconds(slices.Max(w.Seconds)), beside(rows, w), added)
		}
	}
	return b.String()
}

// overview has a line for each scenario, and the median of each program.
func (r *results) overview() string {
	var b strings.Builder
	b.WriteString("\n| |")
	for _, p := range r.Programs {
		b.WriteString(" " + p.Name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Programs)) + "\n")
	for _, s := range r.scenarios() {
		b.WriteString("| " + s + " |")
		for _, p := range r.Programs {
			text := "-"
			for _, w := range r.of(s) {
				if w.Program == p.Name {
					text = seconds(median(w.Seconds))
				}
			}
			b.WriteString(" " + text + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// beside is how long we take in the time of another program.
func beside(rows []row, other row) string {
	i := slices.IndexFunc(rows, func(w row) bool { return w.Program == ours })
	if i < 0 || other.Program == ours {
		return "-"
	}
	return fmt.Sprintf("%.2f", median(rows[i].Seconds)/median(other.Seconds))
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.2f s", s)
}

func bytesText(n int64) string {
	switch {
	case n >= 1e6 || n <= -1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1e3)
}

// write puts everything into a directory, and the table on standard output.
func (r *results) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	table := r.table()
	fmt.Print(table)
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "bench.json"), append(text, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "bench.md"), []byte(table), 0o644),
		os.WriteFile(filepath.Join(dir, "bench.svg"), []byte(r.chart()), 0o644),
	)
}
