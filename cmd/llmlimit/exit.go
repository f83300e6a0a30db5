package main

import (
	"errors"
	"fmt"
)

// Exit codes. They are an interface: CI systems branch on them.
const (
	exitOK          = 0   // all that was required passed
	exitFail        = 1   // the target is wrong
	exitUsage       = 2   // wrong usage, or nothing was selected, or all was skipped
	exitInvalid     = 3   // invalid suite, policy or config; nothing was sent
	exitEnvironment = 4   // target, mock or store not reachable or never ready; a scenario in error
	exitMeasurement = 5   // invalid measurement: the load was not delivered
	exitGuard       = 6   // stopped by a guard: spend, abort-if, timeout
	exitRegression  = 8   // regression against the baseline
	exitInternal    = 70  // a bug of ours
	exitInterrupt   = 130 // SIGINT, after the partial report was written
	exitTerminate   = 143 // SIGTERM, likewise
)

// exitCodes is what `llmlimit explain` and the documentation say of each.
var exitCodes = []struct {
	Code    int
	Meaning string
	Advice  string
}{
	{exitOK, "everything that was required passed", "A failed SHOULD is a pass with a warning; `--fail-on fail,error,warn` makes it count."},
	{exitFail, "the target is wrong", "Each finding names the request, the tokens and a curl line that shows it."},
	{exitUsage, "wrong usage, or nothing was selected, or everything was skipped", "Look at the message; `llmlimit list` shows what can be selected."},
	{exitInvalid, "a suite, policy or configuration is invalid", "Nothing was sent. `llmlimit validate FILE` shows every problem with its place."},
	{exitEnvironment, "the environment: target, mock or store not reachable or never ready, or a scenario in error", "The message says which side is missing; `llmlimit doctor URL` looks closer."},
	{exitMeasurement, "invalid measurement: the load was not delivered as planned", "Not the target's fault. Use a lower rate or a larger machine."},
	{exitGuard, "stopped by a guard: --spend, --max-requests, abort-if or --timeout", "What had finished is in the reports."},
	{exitRegression, "a regression against the baseline", "`llmlimit compare BASE NEW` shows what changed."},
	{exitInternal, "an internal error of llmlimit", "Please report it with the message."},
	{exitInterrupt, "interrupted by SIGINT, after the partial report was written", "A second Ctrl-C ends at once, without reports."},
	{exitTerminate, "terminated by SIGTERM, after the partial report was written", "Raise the CI job's time limit, or select less. A second SIGTERM ends at once, without reports."},
}

// precedence orders codes when several apply: an undelivered load never hides a
// proven fault.
var precedence = []int{exitInternal, exitInterrupt, exitTerminate, exitInvalid, exitEnvironment, exitFail, exitGuard, exitMeasurement, exitRegression, exitUsage}

// worst returns the code that goes first.
func worst(codes ...int) int {
	for _, p := range precedence {
		for _, c := range codes {
			if c == p {
				return c
			}
		}
	}
	return exitOK
}

// exitError is an error that knows its exit code, and perhaps what to do next.
type exitError struct {
	code int
	err  error
	hint string // for people: what to do next; may be empty
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// failWith returns an error that ends the program with code.
func failWith(code int, format string, args ...any) *exitError {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// withHint adds what to do next.
func (e *exitError) withHint(format string, args ...any) *exitError {
	e.hint = fmt.Sprintf(format, args...)
	return e
}

// silent is an outcome that was already told in the results.
func silent(code int) error { return &exitError{code: code, err: errTold} }

var errTold = errors.New("already told")

// codeOf is the exit code that err asks for.
func codeOf(err error) int {
	if ee, ok := errors.AsType[*exitError](err); ok {
		return ee.code
	}
	return exitInternal
}
