package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// serveFlags are the flags of `serve`.
type serveFlags struct {
	policy, backend                    string
	listen, admin, decision, readyFile string
	store                              string
	faults                             []string
	tlsCert, tlsKey                    string
	backendCA                          string
	backendInsecure, h2c               bool
	jwtHMAC, jwtKey, jwks              string
	trustedProxies, trustedHeaders     []string
	maxRequestBytes                    int64
	maxAccounts                        int
	lease                              time.Duration
	onStoreError                       string
	permanentStatus                    int
	timeouts                           proxy.Timeouts
	grace                              time.Duration
	log, logLevel                      string
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve --policy FILE --backend URL",
		Short: "Run the limiting reverse proxy",
		Long: `Run the limiting reverse proxy.

Tokens are reserved before a request is forwarded, and what was not used comes back
when its response has ended: whole, chunked or streamed. Metrics, health and the
ledger are on the admin listener, never on the public one. SIGHUP, or a change of the
file, reads the policy again; a policy that is wrong never replaces one that is right.`,
		Example: `  llmlimit serve --policy policy.yaml --backend http://127.0.0.1:9000
  llmlimit serve --policy policy.yaml --backend https://api.openai.com --listen :8080 --admin 127.0.0.1:9090
  llmlimit serve --policy policy.yaml --backend URL --fault no-refund    a faulty limiter, to try a suite on
  llmlimit serve --fault list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	f.register(cmd.Flags())
	complete(cmd, "fault", faultNames)
	complete(cmd, "store", words("memory"))
	complete(cmd, "on-store-error", words("closed", "open"))
	complete(cmd, "log", words("text", "json", "off"))
	complete(cmd, "log-level", words("debug", "info", "warn", "error"))
	return cmd
}

func (f *serveFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.policy, "policy", "", "policy bundle, YAML or JSON")
	fl.StringVar(&f.backend, "backend", "", "base URL of the provider")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8080", "public address; port 0 is any free one")
	fl.StringVar(&f.admin, "admin", "127.0.0.1:0", "address of metrics, health and ledger; empty switches it off")
	fl.StringVar(&f.decision, "decision-listen", "", "address of the decision service, for gateways that only ask")
	fl.StringVar(&f.readyFile, "ready-file", "", "write the base URL to this file when ready")
	fl.StringVar(&f.store, "store", "memory", "where accounts are kept: memory")
	fl.StringArrayVar(&f.faults, "fault", nil, "be wrong in this way, NAME or NAME:key=value; may repeat; list shows all")
	fl.StringVar(&f.tlsCert, "tls-cert", "", "PEM file: serve HTTPS with this certificate")
	fl.StringVar(&f.tlsKey, "tls-key", "", "PEM file of its key")
	fl.StringVar(&f.backendCA, "backend-ca", "", "PEM file of authorities to trust for the backend")
	fl.BoolVar(&f.backendInsecure, "backend-insecure", false, "do not verify the backend's certificate")
	fl.BoolVar(&f.h2c, "h2c", false, "speak HTTP/2 without TLS to the backend")
	fl.StringVar(&f.jwtHMAC, "jwt-hmac-file", "", "file with the shared secret of JWTs")
	fl.StringVar(&f.jwtKey, "jwt-key-file", "", "PEM file with the public key of JWTs")
	fl.StringVar(&f.jwks, "jwks-file", "", "JSON Web Key Set of JWTs")
	fl.StringSliceVar(&f.trustedProxies, "trusted-proxies", nil, "peers whose X-Forwarded-For is believed: addresses or prefixes")
	fl.StringArrayVar(&f.trustedHeaders, "trusted-header", nil, "header of a trusted edge for a descriptor: ip:country=X-Country; may repeat")
	fl.Int64Var(&f.maxRequestBytes, "max-request-bytes", proxy.DefaultMaxRequestBytes, "largest request body")
	fl.IntVar(&f.maxAccounts, "max-accounts", 0, "most accounts that are kept; 0 is the store's own bound")
	fl.DurationVar(&f.lease, "lease", proxy.DefaultLease, "how long a reservation lives without a sign of life")
	fl.StringVar(&f.onStoreError, "on-store-error", "closed", "when the store fails: closed (503) or open (forward)")
	fl.IntVar(&f.permanentStatus, "permanent-status", http.StatusTooManyRequests, "status of what no wait can cure: 429, 413 or 400")
	fl.DurationVar(&f.timeouts.Body, "timeout-body", 0, "to read a whole request; 0 is the default, 1m")
	fl.DurationVar(&f.timeouts.Headers, "timeout-headers", 0, "from the request to the provider's headers; 0 is the default, 5m")
	fl.DurationVar(&f.timeouts.Idle, "timeout-idle", 0, "between two reads of a response; 0 is the default, 5m")
	fl.DurationVar(&f.timeouts.Total, "timeout-total", 0, "of a whole exchange; 0 is the default, 1h")
	fl.DurationVar(&f.grace, "grace", 30*time.Second, "how long requests in flight may go on when the proxy is stopped")
	fl.StringVar(&f.log, "log", "off", "one line per request on stderr: text, json or off")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

func (a *app) serve(ctx context.Context, f serveFlags) error {
	a.server = true
	if len(f.faults) == 1 && f.faults[0] == "list" {
		return a.listFaults()
	}
	read := stamp(f.policy)
	cfg, opts, err := f.config(ctx, a)
	if err != nil {
		return err
	}
	p, err := proxy.New(cfg)
	if err != nil {
		return failWith(exitInvalid, "%w", err)
	}
	return a.serveProxy(ctx, f, p, opts, read)
}

// config reads everything that can be wrong before a port is opened.
func (f *serveFlags) config(ctx context.Context, a *app) (proxy.Config, policy.Options, error) {
	var cfg proxy.Config
	opts, err := f.policyOptions()
	if err != nil {
		return cfg, opts, err
	}
	if f.policy == "" || f.backend == "" {
		return cfg, opts, failWith(exitUsage, "--policy and --backend are needed").withHint("llmlimit serve --policy policy.yaml --backend http://127.0.0.1:9000; `llmlimit init` writes a policy to start from")
	}
	bundle, err := f.readBundle(opts)
	if err != nil {
		return cfg, opts, err
	}
	backend, err := url.Parse(f.backend)
	if err != nil || backend.Host == "" || backend.Scheme != "http" && backend.Scheme != "https" {
		return cfg, opts, failWith(exitUsage, "--backend %q is not a URL such as http://127.0.0.1:9000", f.backend)
	}
	if f.store != "memory" {
		return cfg, opts, failWith(exitUsage, "--store %q is not known, expected memory", f.store)
	}
	client, err := clientTLS(f.backendCA, "", "", f.backendInsecure)
	if err != nil {
		return cfg, opts, err
	}
	logger, err := f.observer(ctx, a)
	if err != nil {
		return cfg, opts, err
	}
	cfg = proxy.Config{
		Backend: backend, Bundle: bundle, Store: limiter.New(limiter.Options{MaxAccounts: f.maxAccounts}),
		Transport: proxy.NewTransport(proxy.TransportOptions{TLS: client, H2C: f.h2c}), Observe: logger,
		Lease: f.lease, MaxRequestBytes: f.maxRequestBytes, PermanentStatus: f.permanentStatus,
		OnStoreError: proxy.StoreError(f.onStoreError), TrustedProxies: opts.TrustedProxies, Timeouts: f.timeouts,
	}.Complete()
	if cfg, err = faulty.Wrap(cfg, f.faults...); err != nil {
		return cfg, opts, failWith(exitUsage, "--fault: %w", err).withHint("`llmlimit serve --fault list` shows them all")
	}
	a.banner(f, bundle)
	return cfg, opts, nil
}

func (f *serveFlags) readBundle(opts policy.Options) (*policy.Bundle, error) {
	data, err := readFile("the policy", f.policy)
	if err != nil {
		return nil, err
	}
	opts.Now = now()
	bundle, err := policy.Parse(f.policy, data, opts)
	if err != nil {
		return nil, failWith(exitInvalid, "%w", err)
	}
	return bundle, nil
}

// banner says on stderr what should not be missed.
func (a *app) banner(f *serveFlags, b *policy.Bundle) {
	for _, w := range b.Warnings() {
		fmt.Fprintf(a.stderr, "warning: %s\n", w)
	}
	if b.ReadsJWT() && !b.Verifies() {
		fmt.Fprintln(a.stderr, "WARNING: the policy reads JWT claims and NOTHING VERIFIES THEM: whoever sends a token chooses who pays.")
		fmt.Fprintln(a.stderr, "         Give --jwt-hmac-file, --jwt-key-file or --jwks-file, unless something in front of this proxy verifies tokens.")
	}
	if len(f.faults) > 0 {
		fmt.Fprintf(a.stderr, "WARNING: this limiter is FAULTY ON PURPOSE: %s. Every response says so in x-llmlimit-fault.\n", strings.Join(f.faults, ", "))
	}
}

func (f *serveFlags) policyOptions() (policy.Options, error) {
	opts := policy.Options{TrustedHeaders: map[string]string{}}
	for _, text := range f.trustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, e := netip.ParseAddr(text)
			if e != nil {
				return opts, failWith(exitUsage, "--trusted-proxies %q is neither an address nor a prefix", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		opts.TrustedProxies = append(opts.TrustedProxies, prefix)
	}
	for _, text := range f.trustedHeaders {
		descriptor, header, ok := strings.Cut(text, "=")
		if !ok || header == "" {
			return opts, failWith(exitUsage, "--trusted-header %q is not descriptor=header, such as ip:country=X-Country", text)
		}
		opts.TrustedHeaders[descriptor] = header
	}
	var err error
	opts.Verifier, err = f.verifier()
	return opts, err
}

func (f *serveFlags) verifier() (*policy.Verifier, error) {
	var found *policy.Verifier
	for _, source := range []struct {
		flag, path string
		read       func([]byte) (*policy.Verifier, error)
	}{
		{"--jwt-hmac-file", f.jwtHMAC, policy.VerifyHMAC},
		{"--jwt-key-file", f.jwtKey, policy.VerifyKey},
		{"--jwks-file", f.jwks, policy.VerifyJWKS},
	} {
		if source.path == "" {
			continue
		}
		if found != nil {
			return nil, failWith(exitUsage, "one of --jwt-hmac-file, --jwt-key-file and --jwks-file is enough")
		}
		text, err := readFile(source.flag, source.path)
		if err != nil {
			return nil, err
		}
		if found, err = source.read(text); err != nil {
			return nil, failWith(exitInvalid, "%s %s: %w", source.flag, source.path, err)
		}
	}
	return found, nil
}

// serveProxy opens the listeners and serves until ctx ends; requests in flight are
// settled before it returns. The policy that p has was read from the file with the
// stamp read.
func (a *app) serveProxy(ctx context.Context, f serveFlags, p *proxy.Proxy, opts policy.Options, read string) error {
	public, servers, err := f.listeners(ctx, a, p)
	if err != nil {
		return err
	}
	if err := announce(a.stdout, public, f.readyFile); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { // both end with stop
		if err := p.Run(background); err != nil {
			fmt.Fprintf(a.stderr, "llmlimit: %v\n", err)
		}
	})
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	running.Go(func() { onChange(background, f.policy, read, hup, func() { a.reload(f, p, opts) }) })

	serving, over := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { // awaited below
		<-serving.Done()
		ended <- f.finish(ctx, p)
	}()
	// The proxy breaks off what is in flight, which it knows for what it is: its servers
	// give it the time.
	err = serveHTTP(serving, f.grace+time.Second, servers...)
	over()
	if e := <-ended; e != nil {
		fmt.Fprintf(a.stderr, "llmlimit: requests in flight were broken off after %s: %v\n", f.grace, e)
	}
	stop()
	running.Wait()
	return err
}

// finish takes nothing new any more, and waits until what is in flight has ended and is
// settled, for as long as it may take.
func (f *serveFlags) finish(ctx context.Context, p *proxy.Proxy) error {
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.grace)
	defer cancel()
	return p.Shutdown(patience)
}

func (f *serveFlags) listeners(ctx context.Context, a *app, p *proxy.Proxy) (url string, servers []listening, err error) {
	secure, err := f.serverTLS()
	if err != nil {
		return "", nil, err
	}
	for _, at := range []struct {
		addr, what string
		handler    http.Handler
	}{{f.listen, "", p}, {f.admin, "admin", p.Admin()}, {f.decision, "decisions", p.DecisionHandler()}} {
		if at.addr == "" {
			continue
		}
		l, err := listen(ctx, at.addr)
		if err != nil {
			for _, s := range servers {
				err = errors.Join(err, s.listener.Close())
			}
			return "", nil, err
		}
		s := limiterServer(at.handler)
		if at.what == "" {
			url = baseURL(l, secure != nil)
			if secure != nil {
				s.TLSConfig = secure
				l = tls.NewListener(l, secure)
			}
		} else {
			fmt.Fprintf(a.stderr, "%s on %s\n", at.what, baseURL(l, false))
		}
		servers = append(servers, listening{s, l})
	}
	return url, servers, nil
}

// limiterServer is a server of the limiter, which tells nobody of clients that went.
func limiterServer(h http.Handler) *http.Server {
	s := proxy.NewServer(h, proxy.ServerOptions{})
	s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	return s
}

// reload reads the policy again. What is wrong leaves the old one in force.
func (a *app) reload(f serveFlags, p *proxy.Proxy, opts policy.Options) {
	opts.Previous = p.Bundle()
	bundle, err := f.readBundle(opts)
	if err == nil {
		err = p.Reload(bundle)
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "llmlimit: %v\nthe old policy stays in force\n", err)
		return
	}
	fmt.Fprintf(a.stderr, "policy %s version %d is in force\n", f.policy, bundle.Version())
}

func (f *serveFlags) serverTLS() (*tls.Config, error) {
	if f.tlsCert == "" && f.tlsKey == "" {
		return nil, nil //nolint:nilnil // no TLS is a valid answer, and not an error
	}
	cert, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
	if err != nil {
		return nil, failWith(exitInvalid, "reading --tls-cert and --tls-key: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// observer writes the request log.
func (f *serveFlags) observer(ctx context.Context, a *app) (func(proxy.Record), error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, failWith(exitUsage, "--log-level %q is not known, expected debug, info, warn or error", f.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	var logger *slog.Logger
	switch f.log {
	case "off":
		return nil, nil
	case "text":
		logger = slog.New(slog.NewTextHandler(a.stderr, options))
	case "json":
		logger = slog.New(slog.NewJSONHandler(a.stderr, options))
	default:
		return nil, failWith(exitUsage, "--log %q is not known, expected text, json or off", f.log)
	}
	return func(r proxy.Record) { logRecord(ctx, logger, &r) }, nil
}

// logRecord writes one line per request. A record holds no credential and no
// content.
func logRecord(ctx context.Context, logger *slog.Logger, r *proxy.Record) {
	level := slog.LevelInfo
	if r.Err != "" {
		level = slog.LevelWarn
	}
	logger.LogAttrs(ctx, level, "request",
		slog.String("id", r.ID), slog.String("method", r.Method), slog.String("path", r.Path), slog.String("dialect", r.Dialect),
		slog.String("model", r.Model), slog.Bool("stream", r.Stream), slog.String("decision", r.Decision), slog.String("reason", r.Reason),
		slog.String("policy", r.Policy), slog.String("rule", r.Rule), slog.String("key", r.Key), slog.String("outcome", string(r.Outcome)),
		slog.Int64("reserved", r.Reserved), slog.Int64("actual", r.Actual), slog.Int64("refunded", r.Refunded), slog.Int64("debited", r.Debited),
		slog.Int("status", r.Status), slog.Duration("overhead", r.Overhead), slog.Duration("duration", r.Duration), slog.String("err", r.Err))
}

func (a *app) listFaults() error {
	for _, f := range faulty.Table {
		fmt.Fprintf(a.stdout, "%-28s %s\n", f.Name, f.Doc)
	}
	return nil
}
