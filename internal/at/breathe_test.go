package at

import (
	"errors"
	"testing"
	"time"
)

// TestAside: who calls it gets the error, or the panic that a job can be ended by.
func TestAside(t *testing.T) {
	why := errors.New("why")
	if err := Aside(func() error { return why }); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	defer func() {
		if thrown := recover(); thrown != "thrown" {
			t.Errorf("panic %v, want that of the function", thrown)
		}
	}()
	err := Aside(func() error { panic("thrown") })
	t.Errorf("it returned %v after a panic", err)
}

func TestBreathe(t *testing.T) {
	now := time.Now().Add(time.Hour) // so that the test does not depend on how fast it is
	if got := Breathe(now); !got.Equal(now) {
		t.Errorf("a break at once")
	}
	long := time.Now().Add(-time.Hour)
	if got := Breathe(long); !got.After(long) {
		t.Errorf("no break after an hour")
	}
}
