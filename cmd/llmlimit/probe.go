package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/probe"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// gatewayFlags say how to reach a gateway that is looked at, and the mock behind it.
// `doctor` and `probe` share them.
type gatewayFlags struct {
	path, model, identity     string
	body                      string
	namespace                 string
	headers                   []string
	mockListen, mockAdvertise string
	ca, cert, key             string
	insecure, remote          bool
	spend, requests           int64
}

func (f *gatewayFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.path, "path", "/v1/chat/completions", "path of a chat completion")
	fl.StringVar(&f.model, "model", "mock", "model that the gateway routes to the mock")
	fl.StringVar(&f.identity, "identity", "", "header that tells clients apart; a probe makes up values for it")
	fl.StringVar(&f.body, "body", "", `JSON object with fields for every body, '{"stream":false}' for one that streams unless told not to`)
	fl.StringVar(&f.namespace, "namespace", "llmlimit", "what the gateway may have in its configuration: an upstream /p/NAME, or a key sk-mock-NAME")
	fl.StringArrayVar(&f.headers, "header", nil, "header for every request, 'Name: value'; may repeat")
	fl.StringVar(&f.mockListen, "mock-listen", "127.0.0.1:9000", "address on which the mock listens")
	fl.StringVar(&f.mockAdvertise, "mock-advertise", "", "base URL by which the gateway reaches the mock")
	fl.StringVar(&f.ca, "ca", "", "PEM file of authorities to trust")
	fl.StringVar(&f.cert, "cert", "", "PEM file of a client certificate")
	fl.StringVar(&f.key, "key", "", "PEM file of its key")
	fl.BoolVar(&f.insecure, "insecure", false, "do not verify the gateway's certificate")
	fl.BoolVar(&f.remote, "allow-remote", false, "allow a gateway that is not on this machine")
	fl.Int64Var(&f.spend, "spend", 500000, "the most tokens that may be used; 0 is no bound")
	fl.Int64Var(&f.requests, "max-requests", 5000, "the most requests that may be sent; 0 is no bound")
}

// checkURL refuses what is no base URL of a gateway, such as a host and port alone.
func checkURL(url string) error {
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return failWith(exitUsage, "%q is no URL", url).withHint("write http://HOST:PORT or https://HOST:PORT")
	}
	return nil
}

// open starts the mock and makes a wire to the gateway. shut ends both.
func (f *gatewayFlags) open(ctx context.Context, a *app, url string) (w *probe.Wire, shut func() error, err error) {
	if err := checkURL(url); err != nil {
		return nil, nil, err
	}
	if !isLoopback(url) {
		fmt.Fprintf(a.stderr, "%s is not on this machine: at most %d requests and %d tokens go there\n", url, f.requests, f.spend)
		if !f.remote {
			return nil, nil, failWith(exitUsage, "traffic to %s needs consent", url).withHint("--allow-remote gives it")
		}
	}
	secure, err := f.tls()
	if err != nil {
		return nil, nil, err
	}
	if err := checkHeaders(f.headers); err != nil {
		return nil, nil, err
	}
	var body map[string]any
	if f.body != "" {
		if err := json.Unmarshal([]byte(f.body), &body); err != nil {
			return nil, nil, failWith(exitUsage, "--body %q is no JSON object: %w", f.body, err)
		}
	}
	header := http.Header{}
	for name, value := range headerMap(f.headers) {
		header.Set(name, value)
	}
	l, err := listen(ctx, f.mockListen)
	if err != nil {
		return nil, nil, failWith(codeOf(err), "the mock cannot listen: %w", err).
			withHint("the port is taken, or the address is not of this machine: correct --mock-listen, and the upstream of the gateway with it")
	}
	mock := mockllm.New(mockllm.Options{})
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- mock.Serve(serving, l) }()
	run := fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // a name, no secret
	w = &probe.Wire{
		Client: client.New((&net.Dialer{}).DialContext, secure, nil), Mock: mock, URL: url, Path: f.path, Model: f.model,
		Header: header, Body: body, Namespace: f.namespace, Run: run, Tokens: f.spend, Requests: f.requests,
	}
	if f.identity != "" {
		w.Identity = func(h http.Header, n int) { h.Set(f.identity, fmt.Sprintf("probe-%s-%d", run, n)) }
	}
	w.Way = client.Way{
		Gateway: redacted(url), Path: f.path, Mock: f.mockAdvertise, URL: "the URL", Identity: "--identity or --header", Model: "--model", Body: "--body",
	}
	if w.Way.Mock == "" {
		w.Way.Mock = baseURL(l, false)
	}
	fmt.Fprintf(a.stderr, "the mock listens on %s; the upstream of the gateway has to be %s\n", baseURL(l, false), w.Way.Mock)
	return w, func() error {
		w.Client.Close()
		stop()
		return <-served
	}, nil
}

// tls is the configuration of the client, nil for the usual one.
func (f *gatewayFlags) tls() (*tls.Config, error) {
	if f.ca == "" && f.cert == "" && !f.insecure {
		return nil, nil //nolint:nilnil // no configuration is what a transport wants then
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.insecure} //nolint:gosec // asked for by --insecure
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, failWith(exitUsage, "--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, failWith(exitUsage, "--ca: %s holds no certificate", f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, failWith(exitUsage, "--cert and --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (a *app) probeCommand() *cobra.Command {
	var f gatewayFlags
	var settings probe.Settings
	cmd := &cobra.Command{
		Use:   "probe URL",
		Short: "Find out what a gateway's token limiter does",
		Long: `Find out what a gateway's token limiter does.

A probe asks for more and more and sees what is let through: rejections cost nothing,
and the mock behind the gateway says that one token was used. It infers the burst, the
refill, the kind of window, the estimator, and what comes back for each way in which a
response can end, and prints a target: block for --target-file. What cannot be known
is an interval, or a note.`,
		Example: `  llmlimit probe http://127.0.0.1:8080 --identity x-tenant --mock-listen 127.0.0.1:9000
  llmlimit probe http://127.0.0.1:8080 --header 'authorization: Bearer KEY' --spend 20000 > target.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings.Identities = f.identity != ""
			return a.probe(cmd.Context(), args[0], f, settings)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().DurationVar(&settings.Horizon, "horizon", 20*time.Second, "how long the refill is watched")
	cmd.Flags().DurationVar(&settings.Patience, "patience", 3*time.Second, "how long a refund is waited for")
	cmd.Flags().DurationVar(&settings.Silence, "silence", 10*time.Second, "how long a provider that never answers is watched, for the lease")
	cmd.Flags().Float64Var(&settings.Precision, "precision", 0.005, "the width of the refill's interval, as a share, that is narrow enough")
	return cmd
}

func (a *app) probe(ctx context.Context, url string, f gatewayFlags, settings probe.Settings) (err error) {
	w, shut, err := f.open(ctx, a, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	if err := probe.Reach(ctx, w); err != nil {
		return failWith(exitEnvironment, "%w", err)
	}
	found, err := probe.Infer(ctx, w, settings)
	if err != nil {
		return failWith(exitEnvironment, "%w", err)
	}
	found.WriteTable(a.stderr, w.Cost())
	found.WriteBlock(a.stdout, url, f.identity, f.body)
	switch {
	case found.Stopped == "":
		fmt.Fprintln(a.stderr, "\nno probe sees these; add to features.supported what you know of the gateway, for no level is reached past a claim that is missing:")
		for _, f := range probe.ByHand {
			fmt.Fprintf(a.stderr, "  %-19s %s\n", f[0], f[1])
		}
		fmt.Fprintln(a.stderr, "\nnext: correct the block by what you know; `llmlimit validate FILE` says which checks of the profile it leaves out, and why")
		return nil
	case !found.Enforced:
		return failWith(exitGuard, "no limit was met within %d requests and %d tokens: none is enforced for this client, or it is larger", w.Cost().Requests, w.Cost().Tokens).
			withHint("is the policy attached to this route, and keyed by what --identity and --header send? --spend and --max-requests allow more")
	}
	return failWith(exitGuard, "stopped at the stage %q: the budget is used up", found.Stopped).
		withHint("--spend and --max-requests allow more; what was found by then is above")
}
