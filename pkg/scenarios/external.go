package scenarios

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// external is a target that runs already. Nothing about it can be changed.
type external struct {
	target   *suite.Target
	features *suite.Features // as declared; may be nil
}

func newExternal(t *suite.Target, f *suite.Features) *external {
	return &external{target: t, features: f}
}

func (e *external) URL() string      { return strings.TrimRight(e.target.URL, "/") }
func (e *external) AdminURL() string { return "" }

func (e *external) Reload(context.Context, TargetSpec) error {
	return errors.New("a target by URL cannot be given another policy")
}

func (e *external) SetFault(string, bool) error {
	return errors.New("a target by URL has no faults to switch")
}

func (e *external) Capabilities() []string { return e.target.Can(e.features) }

func (e *external) Close(context.Context) error { return nil }

// tlsConfig is nil unless files or options ask for one.
func (w *world) tlsConfig() (*tls.Config, error) {
	files := w.o.TLS
	if t := w.cell.Target.TLS; t != nil {
		files.CA, files.Cert, files.Key = first(files.CA, t.CA), first(files.Cert, t.Cert), first(files.Key, t.Key)
		files.Insecure = files.Insecure || t.Insecure
	}
	if files == (TLSFiles{}) {
		return nil, nil //nolint:nilnil // no configuration is what http.Transport wants then
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: files.Insecure} //nolint:gosec // asked for by --insecure
	if files.CA != "" {
		pem, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the CA of the target: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the CA of the target: %s holds no certificate", files.CA)
		}
	}
	if files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func first[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}

// proxy is nil for in-process targets and for loopback: HTTP(S)_PROXY is for
// gateways far away.
func (w *world) proxy() client.Proxy {
	if w.cell.Target.URL == "" {
		return nil
	}
	if u, err := url.Parse(w.cell.Target.URL); err == nil && client.IsLoopback(u.Hostname()) {
		return nil
	}
	return http.ProxyFromEnvironment
}
