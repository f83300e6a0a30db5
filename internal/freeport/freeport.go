// Package freeport finds addresses for tests that have to name a port before anybody
// listens on it.
package freeport

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

var last atomic.Int32

// Addr is an address on the loopback that was free a moment ago. Its port is below those
// that the system gives to whoever asks for any, who would have it before the one that it
// is for. It is safe for concurrent use.
func Addr(tb testing.TB) string {
	tb.Helper()
	for {
		port := 10_000 + (os.Getpid()*97+int(last.Add(1)))%20_000
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if tb.Context().Err() != nil {
			tb.Fatal("asked for an address when the test is over")
		}
		if err != nil {
			continue // somebody has it
		}
		if err := l.Close(); err != nil {
			tb.Fatal(err)
		}
		return l.Addr().String()
	}
}
