package load_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/llmlimit/llmlimit/pkg/load"
)

// A pacer is data: what it will do can be printed.
func ExampleNewStages() {
	pacer, err := load.NewStages(load.Constant(), 1,
		load.Stage{For: 2 * time.Second, From: 0, To: 2, Warmup: true},
		load.Stage{For: time.Second, From: 2, To: 2},
	)
	if err != nil {
		slog.Error(err.Error())
		return
	}
	for _, a := range slices.Collect(pacer.Arrivals()) {
		fmt.Println(a.Due.Round(time.Millisecond), a.Warmup)
	}
	// Output:
	// 1s true
	// 1.732s true
	// 2.25s false
	// 2.75s false
}

// A closed load: two clients, six requests, each answered at once.
func ExampleClosed() {
	shoot := func(context.Context) load.Result {
		now := time.Now()
		return load.Result{Outcome: load.Admitted, Status: 200, Good: true, Sent: now, Ended: now}
	}
	s, err := load.Closed(context.Background(), load.ClosedConfig{
		Config:      load.Config{Source: func(load.Shot) (load.Fire, error) { return shoot, nil }},
		Concurrency: 2,
		Requests:    6,
	})
	fmt.Println(s.Sent, s.Goodput, s.Statuses["2xx"], err)
	// Output: 6 6 6 <nil>
}
