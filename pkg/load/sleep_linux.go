package load

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// newSleeper makes a sleeper for the clock on the wall. On Linux the last stretch
// is slept on a timerfd: it fires to the microsecond and wakes the runtime's
// network poller, as a packet would. A timer of the runtime itself only bounds how
// long the poller sleeps, in whole milliseconds.
func newSleeper() sleeper {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return &exact{} // a sandbox that forbids it: yield instead
	}
	return &exact{nap: &timerfd{file: os.NewFile(fd, "timerfd"), fd: fd}}
}

const clockMonotonic = 1 // CLOCK_MONOTONIC, linux/time.h

// timerfd is a timer of the kernel behind a file.
type timerfd struct {
	file *os.File
	fd   uintptr
}

func (t *timerfd) sleep(d time.Duration) error {
	// struct itimerspec: the interval, none, and the value.
	spec := [2]syscall.Timespec{1: syscall.NsecToTimespec(int64(d))}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, t.fd, 0,
		uintptr(unsafe.Pointer(&spec)), 0, 0, 0) //nolint:gosec // the kernel reads it before the call returns
	if errno != 0 {
		return fmt.Errorf("setting a timerfd: %w", errno)
	}
	var expirations [8]byte
	_, err := t.file.Read(expirations[:])
	return err
}

func (t *timerfd) close() { _ = t.file.Close() } // nothing was written that could be lost
