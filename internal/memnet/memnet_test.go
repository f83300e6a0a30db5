package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/internal/memnet"
)

// epoch is when the clock of every bubble starts.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// connect gives both ends of a fresh connection.
func connect(t *testing.T) (client, server net.Conn) {
	t.Helper()
	var n memnet.Network
	l, err := n.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err = n.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestFINAfterWhatWasSent(t *testing.T) {
	client, server := connect(t)
	fmt.Fprint(server, "bye")
	server.Close()
	if got, err := io.ReadAll(client); string(got) != "bye" || err != nil {
		t.Errorf("read %q, %v; want bye and the end", got, err)
	}
	if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a closed peer: %v, want EPIPE", err)
	}
}

func TestHalfClose(t *testing.T) {
	client, server := connect(t)
	fmt.Fprint(client, "question")
	if err := client.(*memnet.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(server); string(got) != "question" || err != nil {
		t.Errorf("server read %q, %v", got, err)
	}
	fmt.Fprint(server, "answer")
	server.Close()
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Errorf("client read %q, %v", got, err)
	}
}

func TestResetAfterWhatArrived(t *testing.T) {
	client, server := connect(t)
	fmt.Fprint(server, "part")
	if err := server.(*memnet.Conn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if got, err := io.ReadAll(client); string(got) != "part" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %q, %v; want part and ECONNRESET", got, err)
	}
	if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write after a reset: %v, want ECONNRESET", err)
	}
}

func TestOwnCloseEndsOwnCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := connect(t)
		done := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		client.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %v, want closed", err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v, want closed", err)
		}
		if err := client.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second close: %v, want closed", err)
		}
	})
}

// A writer far ahead of its reader waits, and every byte arrives in order.
func TestBufferIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t)
		sent := make([]byte, 300_000)
		for i := range sent {
			sent[i] = byte(i * 7)
		}
		written := make(chan struct{})
		go func() {
			client.Write(sent)
			client.Close()
			close(written)
		}()
		synctest.Wait()
		select {
		case <-written:
			t.Error("300 kB were written though nobody read")
		default:
		}
		var got bytes.Buffer
		if _, err := io.CopyBuffer(&got, struct{ io.Reader }{server}, make([]byte, 1000)); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got.Bytes(), sent) {
			t.Error("what arrived differs from what was sent")
		}
		<-written
	})
}

func TestDeadlinesInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t)
		client.SetReadDeadline(epoch.Add(time.Hour))
		_, err := client.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(epoch) != time.Hour {
			t.Errorf("after %v: %v; want a timeout after exactly 1h", time.Since(epoch), err)
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v does not say that it is a timeout", err)
		}
		// Moved away, it no longer counts.
		client.SetReadDeadline(time.Time{})
		fmt.Fprint(server, "x")
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Errorf("read without a deadline: %v", err)
		}
		// A deadline in the past ends a read that waits: net/http does that.
		done := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		client.SetReadDeadline(time.Unix(1, 0))
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("waiting read: %v, want a timeout", err)
		}
		client.SetWriteDeadline(epoch.Add(2 * time.Hour))
		if _, err := client.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write that nobody reads: %v, want a timeout", err)
		}
	})
}

func TestDial(t *testing.T) {
	var n memnet.Network
	named, err := n.Listen("gateway:80")
	if err != nil {
		t.Fatal(err)
	}
	wild, err := n.Listen(":9000")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		network, addr string
		want          error
	}{
		{"tcp", "gateway:80", nil},
		{"tcp", "gateway:http", nil},
		{"tcp4", "localhost:9000", nil},
		{"tcp", "127.0.0.1:9000", nil},
		{"tcp", "127.0.0.1:9001", syscall.ECONNREFUSED},
		{"tcp", "gateway:81", syscall.ECONNREFUSED},
		{"udp", "gateway:80", net.UnknownNetworkError("udp")},
	} {
		if _, err := n.DialContext(t.Context(), tc.network, tc.addr); !errors.Is(err, tc.want) {
			t.Errorf("dial %s %s: %v, want %v", tc.network, tc.addr, err, tc.want)
		}
	}
	var unknown *net.DNSError
	if _, err := n.DialContext(t.Context(), "tcp", "other:80"); !errors.As(err, &unknown) || !unknown.IsNotFound {
		t.Errorf("dial of a name that nobody has: %v, want a DNS error", err)
	}
	if _, err := n.Listen("localhost:9000"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener on a port: %v, want EADDRINUSE", err)
	}
	from, err := n.DialContext(memnet.WithSource(t.Context(), "10.1.2.3"), "tcp", "gateway:80")
	if err != nil {
		t.Fatal(err)
	}
	if host, _, _ := net.SplitHostPort(from.LocalAddr().String()); host != "10.1.2.3" {
		t.Errorf("dialled from %s, want 10.1.2.3", host)
	}
	named.Close()
	if _, err := from.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that was never accepted: %v, want a reset", err)
	}
	if _, err := n.DialContext(t.Context(), "tcp", "gateway:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after close: %v, want refused", err)
	}
	if _, err := named.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v, want closed", err)
	}
	wild.Close()
}

// The whole of net/http works on it: a stream arrives piece by piece at exact
// instants, and a client that leaves is noticed.
func TestHTTPInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l, err := n.Listen("api.test:80")
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan time.Duration, 1)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for i := range 100 {
				fmt.Fprintf(w, "%d\n", i)
				http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Hour):
				case <-r.Context().Done():
					gone <- time.Since(epoch)
					return
				}
			}
		})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()

		ctx, cancel := context.WithCancel(t.Context())
		client := http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.test/", nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 2)
		for i := range 3 {
			if _, err := io.ReadFull(resp.Body, line); err != nil {
				t.Fatal(err)
			}
			if want := time.Duration(i) * time.Hour; time.Since(epoch) != want {
				t.Errorf("line %d after %v, want exactly %v", i, time.Since(epoch), want)
			}
		}
		time.Sleep(time.Minute)
		cancel()
		if at := <-gone; at != 2*time.Hour+time.Minute {
			t.Errorf("the server saw the client leave after %v, want 2h1m", at)
		}
		resp.Body.Close()
		client.CloseIdleConnections()
		srv.Close()
		<-served
	})
}
