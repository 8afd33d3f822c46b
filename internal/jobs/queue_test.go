package jobs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestNext(t *testing.T) {
	type tasks []task
	a := task{job: 0, dest: "a", host: "h", disk: "d", length: 3}
	b := task{job: 1, dest: "b", host: "h", disk: "e", length: 5}
	c := task{job: 2, dest: "c", host: "", disk: "e", length: 0}
	d := task{job: 3, dest: "d", host: "", disk: "d", length: 5}
	a2 := task{job: 4, dest: "a", host: "i", disk: "d", length: 9}
	later := task{job: 5, dest: "l", notBefore: noon.Add(time.Minute)}
	muchLater := task{job: 6, dest: "m", notBefore: noon.Add(time.Hour)}
	due := task{job: 7, dest: "n", length: 1, notBefore: noon}
	for _, tt := range []struct {
		name             string
		waiting, running tasks
		limits           limits
		want             []int
		wake             time.Time
	}{
		{"nothing waits", nil, nil, limits{}, nil, time.Time{}},
		{"no limits: what is unknown first, then the longest, then by the config", tasks{a, b, c, d}, nil, limits{}, []int{2, 1, 3, 0}, time.Time{}},
		{"one at a time", tasks{a, b, c, d}, nil, limits{jobs: 1}, []int{2}, time.Time{}},
		{"one is running", tasks{a, b, c}, tasks{d}, limits{jobs: 1}, nil, time.Time{}},
		{"two at a time, one running", tasks{a, b, c}, tasks{d}, limits{jobs: 2}, []int{2}, time.Time{}},
		{"one from each host", tasks{a, b, c, d}, nil, limits{perHost: 1}, []int{2, 1}, time.Time{}},
		{"one to each disk", tasks{a, b, c, d}, nil, limits{perDisk: 1}, []int{2, 3}, time.Time{}},
		{"an unknown disk is no limit", tasks{{job: 0, dest: "x"}, {job: 1, dest: "y"}}, nil, limits{perDisk: 1}, []int{0, 1}, time.Time{}},
		{"never two on one dest", tasks{a, a2}, nil, limits{}, []int{4}, time.Time{}},
		{"never two on one dest, one running", tasks{a}, tasks{a2}, limits{}, nil, time.Time{}},
		{"what waits for its time holds up nobody", tasks{later, muchLater, a}, nil, limits{jobs: 1}, []int{0}, noon.Add(time.Minute)},
		{"its time has come", tasks{due, muchLater}, nil, limits{jobs: 1}, []int{7}, noon.Add(time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start, wake := next(tt.waiting, tt.running, tt.limits, noon)
			var got []int
			for _, s := range start {
				got = append(got, s.job)
			}
			if !slices.Equal(got, tt.want) || !wake.Equal(tt.wake) {
				t.Errorf("got %v, wake %v; want %v, %v", got, wake, tt.want, tt.wake)
			}
		})
	}
}

// TestEveryTaskRuns plays whole nights at random: no limit is ever broken, and everything ends.
func TestEveryTaskRuns(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		l := limits{1 + r.IntN(4), r.IntN(3), r.IntN(3)}
		var waiting, running []task
		for i := range 1 + r.IntN(12) {
			waiting = append(waiting, task{i, fmt.Sprint(r.IntN(8)), fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(3)), time.Duration(r.IntN(5)), noon.Add(time.Duration(r.IntN(3)) * time.Hour)})
		}
		now, done := noon, 0
		for all := len(waiting); done < all; {
			start, wake := next(waiting, running, l, now)
			for _, s := range start {
				waiting = slices.DeleteFunc(waiting, func(w task) bool { return w.job == s.job })
			}
			running = append(running, start...)
			for i := range running {
				if others := slices.Delete(slices.Clone(running), i, i+1); !l.allow(running[i], others) {
					t.Fatalf("seed %d: %+v runs beside %+v under %+v", seed, running[i], others, l)
				}
			}
			switch {
			case len(running) > 0:
				i := r.IntN(len(running))
				running = slices.Delete(running, i, i+1)
				done++
			case wake.After(now):
				now = wake
			default:
				t.Fatalf("seed %d: nothing runs, nothing is to come: %+v", seed, waiting)
			}
		}
	}
}
