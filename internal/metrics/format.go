package metrics

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// family is the values of one name. All are gauges: each is as of the last run.
type family struct {
	name, help string
	samples    []sample
}

type sample struct {
	labels []string // name, value, name, value
	value  float64
}

// format is the text for all jobs, one family after the other, as the format requires.
func format(states []jobs.State) string {
	var b strings.Builder
	for _, f := range families(states) {
		if len(f.samples) == 0 {
			continue
		}
		name := "rsbtbackup_" + f.name
		b.WriteString("# HELP " + name + " " + f.help + "\n# TYPE " + name + " gauge\n")
		for _, s := range f.samples {
			b.WriteString(name + "{")
			for i := 0; i < len(s.labels); i += 2 {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(s.labels[i] + `="` + escape(s.labels[i+1]) + `"`)
			}
			b.WriteString("} " + strconv.FormatFloat(s.value, 'f', -1, 64) + "\n")
		}
	}
	return b.String()
}

// escape escapes a label's value. A path that is not UTF-8 has U+FFFD for each invalid byte, as in JSON.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

// families are the metrics of all jobs. The names are documented in docs/TELLING.md.
func families(states []jobs.State) []family {
	return slices.Concat(jobFamilies(states), stepFamilies(states))
}

func jobFamilies(states []jobs.State) []family {
	newest := family{name: "newest_backup_timestamp_seconds", help: "When the newest complete backup was begun; 0: there is none, or the job has not run yet."}
	failing := family{name: "failing", help: "1 if a step failed, and has not succeeded since."}
	free := family{name: "dest_free_bytes", help: "Free on the file system of DEST when the job last ended."}
	total := family{name: "dest_total_bytes", help: "Size of the file system of DEST."}
	added := family{name: "backup_added_bytes", help: "What the last backup added on the disk."}
	for _, s := range states {
		job := []string{"job", s.Job}
		newest.samples = append(newest.samples, sample{job, seconds(s.Newest)})
		failing.samples = append(failing.samples, sample{job, number(s.Failing())})
		if s.Total > 0 {
			dest := []string{"job", s.Job, "dest", s.Dest}
			free.samples = append(free.samples, sample{dest, float64(s.Free)})
			total.samples = append(total.samples, sample{dest, float64(s.Total)})
		}
		if a := s.Steps[jobs.Backup].Added; a != nil {
			added.samples = append(added.samples, sample{job, float64(*a)})
		}
	}
	return []family{newest, failing, free, total, added}
}

func stepFamilies(states []jobs.State) []family {
	run := family{name: "step_last_run_timestamp_seconds", help: "When the step last ended, well or not."}
	success := family{name: "step_last_success_timestamp_seconds", help: "When the step last ended well; 0: never."}
	took := family{name: "step_duration_seconds", help: "How long the step took."}
	exit := family{name: "step_exit_code", help: "What a command of its own would have exited with; 0 is well."}
	size := family{name: "step_bytes", help: "Bytes in the files of the last backup, or that were read back."}
	files := family{name: "step_files", help: "Entries of the last backup, or files that were read back."}
	for _, s := range states {
		for _, step := range slices.Sorted(maps.Keys(s.Steps)) {
			st := s.Steps[step]
			labels := []string{"job", s.Job, "step", string(step)}
			add := func(f *family, value float64) { f.samples = append(f.samples, sample{labels, value}) }
			add(&run, seconds(st.At))
			add(&success, seconds(st.OK))
			add(&took, st.Took.Seconds())
			add(&exit, float64(st.Exit))
			if st.Bytes != nil && st.Files != nil {
				add(&size, float64(*st.Bytes))
				add(&files, float64(*st.Files))
			}
		}
	}
	return []family{run, success, took, exit, size, files}
}

// seconds since 1970, to the millisecond; 0 for never.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
