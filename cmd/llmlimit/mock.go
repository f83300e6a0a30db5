package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// mockFlags are the flags of `mock-backend`.
type mockFlags struct {
	listen, admin, readyFile string
	usage, plan, plans       string
	seed                     uint64
	journal                  int
	rpm, tpm                 int64
	tls                      string
	h2c                      bool
}

func (a *app) mockCommand() *cobra.Command {
	var f mockFlags
	cmd := &cobra.Command{
		Use:   "mock-backend",
		Short: "Play an LLM provider that reports exactly the usage it is told to",
		Long: `Play an LLM provider that reports exactly the usage it is told to.

It speaks the wire formats of OpenAI (chat, completions, Responses, embeddings),
Anthropic, Gemini, Bedrock and Cohere, misbehaves on demand, and keeps a journal of what
it received and really sent. A request says what it wants by the header
x-llmlimit-mock, by a marker in the prompt, by model name, path or key; see
docs/mock-backend.md.`,
		Example: `  llmlimit mock-backend                               a free port, and a line to paste into an SDK
  llmlimit mock-backend --usage 20/30                 every answer reports 20 tokens in, 30 out
  llmlimit mock-backend --plans plans.yaml --plan slow
  curl -H 'x-llmlimit-mock: usage=1200/300;fault=reset@3' …`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.mock(cmd.Context(), f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.listen, "listen", "127.0.0.1:0", "address to listen on; port 0 is any free one")
	fl.StringVar(&f.admin, "admin", "", "serve the admin API here instead of under /__mock/")
	fl.StringVar(&f.readyFile, "ready-file", "", "write the base URL to this file when ready")
	fl.StringVar(&f.usage, "usage", "", "usage of every answer that names none, as in/out: 20/30")
	fl.StringVar(&f.plan, "plan", "", "answer as this plan of --plans unless a request names another")
	fl.StringVar(&f.plans, "plans", "", "file of named plans; read again when it changes")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of everything that is drawn")
	fl.IntVar(&f.journal, "journal", 10000, "entries that the journal keeps")
	fl.Int64Var(&f.rpm, "rpm", 0, "play the provider's own limit: requests per minute and key; 0 is none")
	fl.Int64Var(&f.tpm, "tpm", 0, "play the provider's own limit: tokens per minute and key; 0 is none")
	fl.StringVar(&f.tls, "tls", "", "self: serve HTTPS with a fresh certificate, printed on stderr")
	fl.BoolVar(&f.h2c, "h2c", false, "also speak HTTP/2 without TLS")
	complete(cmd, "tls", words("self"))
	return cmd
}

func (a *app) mock(ctx context.Context, f mockFlags) error {
	a.server = true
	read := stamp(f.plans)
	opts, err := f.options()
	if err != nil {
		return err
	}
	mock := mockllm.New(opts)
	secure, err := f.certificate(a)
	if err != nil {
		return err
	}
	main, err := listen(ctx, f.listen)
	if err != nil {
		return err
	}
	url := baseURL(main, secure != nil)
	var servers []listening
	if f.admin != "" {
		admin, err := listen(ctx, f.admin)
		if err != nil {
			return errors.Join(err, main.Close())
		}
		fmt.Fprintf(a.stderr, "admin API on %s/__mock/\n", baseURL(admin, false))
		servers = append(servers, listening{server(mock.Admin(), false), admin})
	}
	public := server(mock.Handler(), f.h2c)
	if secure != nil {
		public.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*secure}, NextProtos: []string{"h2", "http/1.1"}}
		main = tls.NewListener(main, public.TLSConfig)
	}
	// A stream that sleeps for an hour must not outlive an interrupt.
	public.BaseContext = func(net.Listener) context.Context { return ctx }
	servers = append(servers, listening{public, main})

	if err := announce(a.stdout, url, f.readyFile); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "OPENAI_BASE_URL=%s/v1 OPENAI_API_KEY=sk-mock\n", url)
	if f.plans != "" {
		stop := a.watchPlans(ctx, f, read, mock)
		defer stop()
	}
	return serveHTTP(ctx, time.Second, servers...)
}

func server(h http.Handler, h2c bool) *http.Server {
	return &http.Server{Handler: h, Protocols: protocols(h2c), ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
}

func (f *mockFlags) options() (mockllm.Options, error) {
	opts := mockllm.Options{Seed: f.seed, JournalSize: f.journal, RPM: f.rpm, TPM: f.tpm, Admin: f.admin == ""}
	plans, base, err := f.readPlans()
	if err != nil {
		return opts, err
	}
	opts.Plans, opts.Plan = plans, base
	return opts, nil
}

// readPlans returns the named plans and the default one: that of --plan, with
// --usage on top.
func (f *mockFlags) readPlans() (map[string]mockllm.Plan, mockllm.Plan, error) {
	var base mockllm.Plan
	var plans map[string]mockllm.Plan
	if f.plans != "" {
		text, err := os.ReadFile(f.plans)
		if err != nil {
			return nil, base, failWith(exitInvalid, "reading the plans: %w", err)
		}
		if plans, err = mockllm.ParsePlans(text); err != nil {
			return nil, base, failWith(exitInvalid, "plans %s: %w", f.plans, err)
		}
		base = plans["default"]
	}
	if f.plan != "" {
		named, ok := plans[f.plan]
		if !ok {
			return nil, base, failWith(exitUsage, "there is no plan %q in --plans %s", f.plan, f.plans).withHint("%s", planNames(f.plan, plans))
		}
		base = base.Merge(named)
	}
	if f.usage != "" {
		over, err := mockllm.PlanFromValue(map[string]any{"usage": f.usage})
		if err != nil {
			return nil, base, failWith(exitUsage, "--usage %s: %w", f.usage, err)
		}
		base = base.Merge(over)
	}
	return plans, base, nil
}

func planNames(asked string, plans map[string]mockllm.Plan) string {
	var names []string
	for name := range plans {
		names = append(names, name)
	}
	if near := nearest.Word(asked, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("the file names %d plans", len(names))
}

// watchPlans reads the plan file again when it changes and on SIGHUP. A file that
// is wrong leaves the old plans in force and says so.
func (a *app) watchPlans(ctx context.Context, f mockFlags, read string, mock *mockllm.Mock) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		onChange(ctx, f.plans, read, hup, func() {
			plans, base, err := f.readPlans()
			if err != nil {
				fmt.Fprintf(a.stderr, "llmlimit: %v; the old plans stay in force\n", err)
				return
			}
			mock.SetPlans(plans, base)
			fmt.Fprintf(a.stderr, "read %s again: %d plans\n", f.plans, len(plans))
		})
	}()
	return func() { cancel(); <-done; signal.Stop(hup) }
}

func (f *mockFlags) certificate(a *app) (*tls.Certificate, error) {
	switch f.tls {
	case "":
		return nil, nil //nolint:nilnil // no TLS is a valid answer, and not an error
	case "self":
		cert, text, err := selfSigned(now())
		if err != nil {
			return nil, failWith(exitInternal, "making a certificate: %w", err)
		}
		fmt.Fprintf(a.stderr, "%s", text)
		return &cert, nil
	}
	return nil, failWith(exitUsage, "--tls %q is not known", f.tls).withHint("--tls self makes a certificate of its own")
}

func pemCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
