package pockettts

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time of the calling thread: what a call takes, whatever else runs on the machine.
func threadTime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) != nil {
		panic("no clock for threads")
	}
	return time.Duration(now.Nano())
}
