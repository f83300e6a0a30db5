// Package scenarios runs suites against a limiter and says what came of them.
//
// How to think about it: a plan goes in, a [RunResult] comes out, and nothing in between
// knows what is judged.
//
//	[]Source ── NewPlan ──► Plan ── Execute ──► Run (run.json) ──► reports
//	                         │
//	                         ├─ virtual cells: one bubble each, in child processes ([Child])
//	                         └─ real-time cells: here
//
// A cell is one scenario in one cell of its matrix, and has a world of its own: a
// network, a mock, a target, a client, a clock that begins at the scenario's start.
// It is the unit of selection, of isolation and of repetition: a child gets the
// bytes of the suite and the id of a cell, plans the same program again and runs
// that one. So the same seed is the same run, whatever runs beside it.
//
// The target comes through one interface, [Target]; over a running [Conn] there is
// only HTTP. Steps append to one history: what was sent, what came back, what the
// mock received and wrote, and when. An `expect` reads the step's own response, a
// `check` reads what it names, and at the end the judge reads everything, asked or
// not, wherever the limits are known.
//
// In virtual time what is due at one instant happens in an order that the seed
// gives: branches of a parallel begin a few nanoseconds apart, and an instant lies
// between a request and the next. Before anything is looked at, everything that is
// due has happened.
//
// The rooms of this package: plan.go and job.go (what to run), execution.go (where
// and when), cell.go (one world), lane.go and its verbs in send.go, load.go,
// control.go and metrics.go, expect.go and environment.go (looking), history.go
// and ledger.go (for the judge), verdict.go (outcomes), model.go (the result).
package scenarios
