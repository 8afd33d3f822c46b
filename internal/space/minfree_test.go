package space

import (
	"errors"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestReached(t *testing.T) {
	for _, tt := range []struct {
		want        facts.MinFree
		free, total uint64
		reached     bool
	}{
		{facts.MinFree{}, 0, 100, true},
		{facts.MinFree{Bytes: 10}, 9, 100, false},
		{facts.MinFree{Bytes: 10}, 10, 100, true},
		{facts.MinFree{Percent: 5}, 4, 100, false},
		{facts.MinFree{Percent: 5}, 5, 100, true},
		{facts.MinFree{Percent: 0.5}, 4, 1000, false},
		{facts.MinFree{Bytes: 10, Percent: 5}, 9, 100, false},
		{facts.MinFree{Bytes: 10, Percent: 5}, 10, 1000, false},
		{facts.MinFree{Bytes: 1 << 50}, 1 << 49, 1 << 60, false},
	} {
		if got := Reached(tt.want, tt.free, tt.total); got != tt.reached {
			t.Errorf("%+v of %d of %d: %v", tt.want, tt.free, tt.total, got)
		}
	}
}

func TestPossible(t *testing.T) {
	for _, tt := range []struct {
		want     facts.MinFree
		total    uint64
		possible bool
	}{
		{facts.MinFree{}, 0, true},
		{facts.MinFree{Bytes: 100}, 100, true},
		{facts.MinFree{Bytes: 101}, 100, false},
		{facts.MinFree{Percent: 99}, 100, true},
	} {
		err := Possible(tt.want, tt.total)
		if (err == nil) != tt.possible || err != nil && !errors.Is(err, facts.ErrUsage) {
			t.Errorf("%+v of %d: %v", tt.want, tt.total, err)
		}
	}
}

func TestGoing(t *testing.T) {
	going := goingOf([]facts.Decision{{Snapshot: facts.Snapshot{ID: 1}}, {Snapshot: facts.Snapshot{ID: 2}, Keep: true}, {Snapshot: facts.Snapshot{ID: 3}}})
	if !going[1] || going[2] || !going[3] || len(going) != 2 {
		t.Errorf("%v", going)
	}
}
