package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/probe"
)

func (a *app) doctorCommand() *cobra.Command {
	var f gatewayFlags
	cmd := &cobra.Command{
		Use:   "doctor URL",
		Short: "See what a gateway changes on the way to the mock",
		Long: `See what a gateway changes on the way to the mock.

A few requests go through it over every control channel, with a mock behind it: which
channels arrive, what becomes of headers, bodies and streams, whether it asks for usage
in its client's place, whether it tries again. ` + "`run`" + ` picks the channel by itself.`,
		Example: "  llmlimit doctor http://127.0.0.1:8080 --mock-listen 127.0.0.1:9000",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.doctor(cmd.Context(), args[0], f) },
	}
	f.register(cmd.Flags())
	return cmd
}

func (a *app) doctor(ctx context.Context, url string, f gatewayFlags) (err error) {
	w, shut, err := f.open(ctx, a, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	found, err := probe.Examine(ctx, w)
	if err != nil {
		return failWith(exitEnvironment, "%w", err)
	}
	found.WriteText(a.stdout, w.Way.Mock, f.namespace)
	return nil
}
