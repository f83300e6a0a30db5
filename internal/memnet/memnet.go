// Package memnet is a network that lives in memory, for programs that run in
// virtual time.
//
// A goroutine that waits on a real socket never becomes durably blocked, so the
// clock of a [testing/synctest] bubble would stand still for ever. Connections
// of a [Network] wait on condition variables alone: made and used inside one
// bubble, they let its clock run. Outside a bubble they work just as well.
//
// The network behaves like TCP on the loopback of Linux where a test could see
// the difference: buffers are bounded, so that a writer feels a slow reader;
// [Conn.CloseWrite] and Close end a direction with FIN, after which the peer
// reads what was sent and then [io.EOF]; SetLinger(0) makes Close a reset, after
// which the peer reads what had arrived and then ECONNRESET. There is no latency
// and no loss.
package memnet

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

const (
	// backlog is the number of connections that wait for Accept before Dial blocks.
	backlog = 4096
	// firstPort is where ports for ":0" and for dialling begin; the range is
	// that of the IANA's dynamic ports.
	firstPort = 49152
)

// Network holds listeners by address. The zero value is an empty network. It is
// safe for concurrent use. Two networks do not see each other.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
	hosts     map[string]bool // those that were ever listened on: the names that resolve
	nextPort  int
}

// Listen announces on addr, "host:port". Port 0 takes the next free one; ports
// are handed out in order, so that the same program gets the same ports. An
// empty or wildcard host, and "localhost", mean 127.0.0.1; any other host is
// a name of this network and needs no resolver.
func (n *Network) Listen(addr string) (net.Listener, error) {
	host, port, err := split(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == 0 {
		port = n.takePort()
	}
	at := address(host, port)
	if _, taken := n.listeners[at.String()]; taken {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: at, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &listener{network: n, addr: at, queue: make(chan *Conn, backlog), closed: make(chan struct{})}
	if n.listeners == nil {
		n.listeners, n.hosts = make(map[string]*listener), make(map[string]bool)
	}
	n.listeners[at.String()], n.hosts[host] = l, true
	return l, nil
}

// DialContext connects to the listener at addr; network is one of the tcp kinds.
// Its signature is that of [net/http.Transport.DialContext]. Without a listener
// the error wraps ECONNREFUSED, and for a name that nobody ever listened on it is
// a [net.DNSError]. The local address is 127.0.0.1, or what [WithSource] put into
// ctx.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
	}
	host, port, err := split(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	remote := address(host, port)
	refused := &net.OpError{Op: "dial", Net: network, Addr: remote, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

	n.mu.Lock()
	l := n.listeners[remote.String()]
	local := address(source(ctx), n.takePort())
	resolves := n.hosts[host] || net.ParseIP(host) != nil
	n.mu.Unlock()
	switch {
	case !resolves:
		unknown := &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		return nil, &net.OpError{Op: "dial", Net: network, Err: unknown}
	case l == nil:
		return nil, refused
	}
	client, server := pair(local, remote)
	select {
	case <-l.closed:
		return nil, refused
	default:
	}
	select {
	case l.queue <- server:
		select {
		case <-l.closed: // it may have gone into the queue after Close emptied it
			_ = server.SetLinger(0)
			_ = server.Close()
		default:
		}
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Addr: remote, Err: ctx.Err()}
	}
}

// takePort requires that n.mu is held. It wraps around long after any scenario
// has ended; a port that is still listened on is passed over.
func (n *Network) takePort() int {
	for {
		port := firstPort + n.nextPort%(1<<16-firstPort)
		n.nextPort++
		if _, taken := n.listeners[address("127.0.0.1", port).String()]; !taken {
			return port
		}
	}
}

func (n *Network) remove(l *listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.listeners, l.addr.String())
}

type sourceKey struct{}

// WithSource makes connections that are dialled with the returned context come
// from the given address, for limits that are kept per address of the client.
func WithSource(ctx context.Context, ip string) context.Context {
	return context.WithValue(ctx, sourceKey{}, ip)
}

func source(ctx context.Context) string {
	if ip, ok := ctx.Value(sourceKey{}).(string); ok {
		return ip
	}
	return "127.0.0.1"
}

// name is the address of a listener whose host is not an IP address.
type name string

func (name) Network() string  { return "tcp" }
func (n name) String() string { return string(n) }

func address(host string, port int) net.Addr {
	if ip := net.ParseIP(host); ip != nil {
		return &net.TCPAddr{IP: ip, Port: port}
	}
	return name(net.JoinHostPort(host, strconv.Itoa(port)))
}

func split(addr string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	switch host {
	case "", "0.0.0.0", "::", "localhost":
		host = "127.0.0.1"
	}
	switch service {
	case "http":
		service = "80"
	case "https":
		service = "443"
	}
	port, err = strconv.Atoi(service)
	if err != nil || port < 0 || port > 1<<16-1 {
		return "", 0, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	return host, port, nil
}

type listener struct {
	network *Network
	addr    net.Addr
	queue   chan *Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.errClosed()
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, l.errClosed()
	}
}

func (l *listener) errClosed() error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
}

// Close stops accepting and resets the connections that nobody accepted, as the
// kernel does.
func (l *listener) Close() error {
	err := error(&net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: net.ErrClosed})
	l.once.Do(func() {
		close(l.closed)
		l.network.remove(l)
		for {
			select {
			case c := <-l.queue:
				err = errors.Join(c.SetLinger(0), c.Close())
				continue
			default:
			}
			break
		}
		err = nil
	})
	return err
}
