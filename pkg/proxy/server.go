package proxy

import (
	"crypto/tls"
	"net/http"
	"time"
)

// ServerOptions shape the public listener.
type ServerOptions struct {
	// TLS, if not nil, is the server side of TLS; use [http.Server.ServeTLS] with it.
	TLS *tls.Config
	// MaxHeaderBytes caps the head of a request; 0 means 64 KiB.
	MaxHeaderBytes int
	// HeaderTimeout bounds the reading of a head; 0 means 10 s.
	HeaderTimeout time.Duration
	// IdleTimeout bounds how long a connection waits for its next request; 0 means 2 min.
	IdleTimeout time.Duration
}

// NewServer returns a server for h that speaks HTTP/1.1, HTTP/2 and cleartext HTTP/2. Bodies and answers have no overall time:
// [Timeouts] bound each of their parts, since a stream may rightly last an hour.
func NewServer(h http.Handler, o ServerOptions) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		TLSConfig:         o.TLS,
		Protocols:         &protocols,
		MaxHeaderBytes:    orDefault(o.MaxHeaderBytes, 64<<10),
		ReadHeaderTimeout: orDefault(o.HeaderTimeout, 10*time.Second),
		IdleTimeout:       orDefault(o.IdleTimeout, 2*time.Minute),
	}
}
