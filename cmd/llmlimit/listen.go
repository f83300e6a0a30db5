package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// listen opens a TCP listener and explains the two mistakes that people make.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	if !strings.Contains(addr, ":") {
		return nil, failWith(exitUsage, "%q is not an address to listen on", addr).withHint("write host:port, such as 127.0.0.1:8080, or :0 for any free port")
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, failWith(exitEnvironment, "listening on %s: %w", addr, err).withHint("is the port taken? :0 takes any free one")
	}
	return l, nil
}

// baseURL is how clients on this machine reach l.
func baseURL(l net.Listener, secure bool) string {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return scheme + "://" + l.Addr().String()
	}
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// serveHTTP serves until ctx ends, then shuts down: requests in flight have grace
// to end. It returns the first error of any server.
func serveHTTP(ctx context.Context, grace time.Duration, servers ...listening) error {
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.server.Serve(s.listener) }() // ends with Shutdown or Close, awaited below
	}
	var first error
	ended := 0
	select {
	case <-ctx.Done():
	case first = <-failed:
		ended++
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	for _, s := range servers {
		if err := s.server.Shutdown(shutdown); err != nil {
			_ = s.server.Close()
		}
	}
	for ; ended < len(servers); ended++ {
		if err := <-failed; first == nil || errors.Is(first, http.ErrServerClosed) {
			first = err
		}
	}
	if errors.Is(first, http.ErrServerClosed) {
		return nil
	}
	return failWith(exitEnvironment, "serving: %w", first)
}

// listening is a server and where it listens.
type listening struct {
	server   *http.Server
	listener net.Listener
}

// protocols are those of a server: HTTP/1.1 and, over TLS, HTTP/2; cleartext
// HTTP/2 if asked for.
func protocols(h2c bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(h2c)
	return p
}

// announce writes the line that scripts wait for, and the ready file.
func announce(w io.Writer, url, readyFile string) error {
	fmt.Fprintf(w, "listening on %s\n", url)
	if readyFile == "" {
		return nil
	}
	err := replaceFile(readyFile, func(file *os.File) error {
		_, err := fmt.Fprintln(file, url)
		return err
	})
	if err != nil {
		return failWith(exitEnvironment, "writing the ready file: %w", err)
	}
	return nil
}

// selfSigned makes a certificate for the loopback that lives as long as this
// process. The PEM is for clients to trust.
func selfSigned(now time.Time) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "llmlimit mock"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
		DNSNames:    []string{"localhost", "host.docker.internal"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pemCertificate(der), nil
}
