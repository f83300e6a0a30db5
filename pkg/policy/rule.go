package policy

import (
	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// Algorithm is how a rule limits.
type Algorithm uint8

// The algorithms of a rule.
const (
	TokenBucketLLM Algorithm = iota + 1 // tokens per minute and per day
	TokenBucket                         // requests per second
	CostBased                           // a budget per period
	Concurrency                         // requests at the same time
)

// algorithms are the algorithms by the name that a bundle gives them.
var algorithms = [...]string{ //nolint:gosec // names of algorithms, no credentials
	TokenBucketLLM: "token_bucket_llm", TokenBucket: "token_bucket", CostBased: "cost_based", Concurrency: "concurrency",
}

// String returns the name that a bundle gives the algorithm.
func (a Algorithm) String() string { return algorithms[a] }

// MissingKey is what happens to a request that lacks a value of limit_keys.
type MissingKey uint8

// The answers to a missing key.
const (
	MissingRejects MissingKey = iota // 401
	MissingSkips                     // the rule does not bind
	MissingShares                    // one account for all such requests
)

// Disconnect is what is charged when the client leaves and the upstream has begun to answer (semantics of settlement).
type Disconnect uint8

// The settlements of a request whose client has left.
const (
	DisconnectDrain    Disconnect = iota // read on for the usage, bounded
	DisconnectKeep                       // keep what was reserved
	DisconnectObserved                   // charge what was seen
)

// Streaming is how a token rule treats streams.
type Streaming struct {
	Enabled      bool
	MidStream    bool  // cut a stream that exceeds max_completion_tokens
	BufferTokens int64 // how many tokens may pass between two looks
	ErrorChunk   bool  // end with an error event; else with finish_reason "length"
	PartialUsage bool  // tell the client what was used so far
}

// Tokens is the part of a rule that counts tokens. Every default is filled in.
type Tokens struct {
	DefaultCompletion int64    // C of a request that declares none
	MaxPrompt         int64    // 0: no limit
	MaxPerRequest     int64    // 0: no limit
	MaxCompletion     int64    // 0: no cap
	HeaderHint        bool     // X-Token-Estimate raises P
	JSONPaths         []string // where the response has its usage; empty: where its dialect has it
	MaxParseable      int64    // bytes of a response that are read for the usage
	Streaming         Streaming
	OnDisconnect      Disconnect
	Keep5xx           bool // a 5xx without usage keeps the reservation
	PassUnknown       bool // a path without a dialect is not bound
	Weights           limiter.Weights

	lim int64 // the smallest capacity: what a request may cost at most
}

// RuleLimit is one limit of a rule.
type RuleLimit struct {
	Window string // tpm, tpd, requests, budget or concurrency
	Limit  *limiter.Limit
}

// A Rule is one compiled rule. It is immutable.
type Rule struct {
	Policy    string // id
	Name      string
	Algorithm Algorithm
	Tokens    *Tokens     // of a rule that counts tokens, else nil
	Limits    []RuleLimit // in the order of the holds

	keys      []int // of the bundle's descriptors
	match     []condition
	missing   MissingKey
	cost      costSource
	prefixes  []string // of the account keys, one for each limit
	shadowing []string // likewise in shadow mode
}

// condition is one entry of a rule's match.
type condition struct {
	descriptor int
	value      string
}

// costSource is where the cost of a request without tokens comes from, in the unit of the rule's limit.
type costSource struct {
	descriptor int   // -1: fixed
	fixed      int64 // the least; the only one if fixed
	fallback   int64 // when the request says nothing that can be read
	micro      bool  // millionths of a request, else whole units
}

// Actual is what a hold of the rule costs at the end, given the usage in classes. Holds that count no tokens keep their cost; a store
// ignores what it is told of them.
func (b *Bound) Actual(hold limiter.Hold, usage limiter.Classes) int64 {
	if b.Rule.Tokens == nil {
		return hold.Cost
	}
	return b.Rule.Tokens.Weights.Charge(usage)
}

// Observed is what a hold of the rule costs by what was seen: the prompt estimate and a token for every four bytes of content.
// Weighted rules price it as admission does, by the dearest class on either side. A response that could not be read, below 0 bytes,
// shows nothing: 0.
func (b *Bound) Observed(hold limiter.Hold, contentBytes int64) int64 {
	switch {
	case b.Rule.Tokens == nil:
		return hold.Cost
	case contentBytes < 0:
		return 0
	}
	return limiter.Cost(limiter.Ask{
		Prompt: b.Prompt, Output: contentBytes/4 + min(contentBytes%4, 1), Declared: true, N: 1, Weights: b.Rule.Tokens.Weights,
	})
}

// Keep is the cost of a hold whose usage never became known: what was reserved, or what was seen if that is more.
func (b *Bound) Keep(hold limiter.Hold, contentBytes int64) int64 {
	return max(hold.Cost, b.Observed(hold, contentBytes))
}
