// Command benchload is what scripts/bench-load compares with other generators: a
// handler that always answers the same, and a closed load against it, made of
// pkg/load and the client that scenarios use.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/llmlimit/llmlimit/pkg/load"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "serve" {
		return serve(ctx)
	}
	flags := flag.NewFlagSet("benchload", flag.ContinueOnError)
	url := flags.String("url", "", "where to send requests")
	body := flags.String("body", "", "file with the body of each request")
	clients := flags.Int("c", 1, "how many clients")
	length := flags.Duration("z", time.Second, "for how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*body)
	if err != nil {
		return err
	}
	return attack(ctx, client.Request{
		Method: http.MethodPost, URL: *url, Header: http.Header{"Content-Type": {"application/json"}}, Body: text,
	}, *clients, *length)
}

// answer is a short completion: what a mock would send, without thinking.
const answer = `{"id":"chatcmpl-1","object":"chat.completion","model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":50}}`

// serve answers until it is interrupted. Its first line says where.
func serve(ctx context.Context) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/v1/chat/completions\n", l.Addr())
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write([]byte(answer)) // a client that has gone needs no answer
	})}
	stopped := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stopped()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// attack keeps clients busy and prints what was measured.
func attack(ctx context.Context, r client.Request, clients int, length time.Duration) error {
	c := client.New((&net.Dialer{}).DialContext, nil, nil)
	defer c.Close()
	fire := func(ctx context.Context) load.Result {
		x := c.Do(ctx, r)
		result := load.Result{Outcome: load.Failed, Status: x.Status, Sent: x.Sent, Content: x.Headers, Ended: x.Ended}
		if x.Outcome == client.Complete && x.Status == http.StatusOK {
			result.Outcome, result.Good = load.Admitted, true
		}
		for i := 1; i < len(x.Pieces); i++ {
			result.Gaps = append(result.Gaps, x.Pieces[i].At.Sub(x.Pieces[i-1].At))
		}
		return result
	}
	s, err := load.Closed(ctx, load.ClosedConfig{
		Config:      load.Config{Source: func(load.Shot) (load.Fire, error) { return fire, nil }},
		Concurrency: clients, For: length,
	})
	if err != nil {
		return err
	}
	if s.Goodput != s.Sent {
		return fmt.Errorf("%d of %d requests were answered: %v", s.Goodput, s.Sent, s.Statuses)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(map[string]any{
		"requests": s.Sent, "rate": s.AchievedRate,
		"p50_ns": s.All.Response.P50, "p99_ns": s.All.Response.P99, "ttft_p99_ns": s.All.TTFT.P99, "lag_p99_ns": s.SenderLag.P99,
	})
}
