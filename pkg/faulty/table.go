package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// Fault is one way for a limiter to be wrong.
type Fault struct {
	// Name is how suites, flags and reports call it.
	Name string
	// Family groups faults by what they break.
	Family string
	// Doc says in one sentence what the limiter does.
	Doc string
	// Params are what may follow the name: "late-refund:delay=5s,rate=10%". Every fault also has rate.
	Params []Param

	wrap func(cfg proxy.Config, t *Trigger) proxy.Config
}

// The families of faults.
const (
	FamilyReserve = "reserve" // what is taken before a request
	FamilySettle  = "settle"  // what is given back after it
	FamilyStream  = "stream"  // what is read of streams
	FamilyWire    = "wire"    // what the two sides see
)

// Table is every fault, in the order in which they wrap: a later one is around an earlier one.
var Table = []Fault{
	{Name: "reserve-nothing", Family: FamilyReserve, wrap: reserveNothing, Doc: "tokens are taken when the response has ended, not before the request"},
	{Name: "not-atomic", Family: FamilyReserve, wrap: notAtomic, Params: []Param{pause}, Doc: "accounts are checked first and taken from a moment later, unchecked"},

	{Name: "no-refund", Family: FamilySettle, wrap: noRefund, Doc: "what was reserved and not used is never given back"},
	{Name: "refund-twice", Family: FamilySettle, wrap: refundTwice, Doc: "what was not used is given back twice"},
	{Name: "late-refund", Family: FamilySettle, wrap: lateRefund, Params: []Param{delay}, Doc: "settlements take effect after a delay"},
	{Name: "missing-usage-refunds-all", Family: FamilySettle, wrap: missingUsageRefundsAll, Doc: "a response without usage is free"},
	{Name: "tpd-not-refunded", Family: FamilySettle, wrap: tpdNotRefunded, Doc: "the daily budget keeps what was reserved; the minute is refunded"},
	{Name: "non-stream-unsettled", Family: FamilySettle, wrap: nonStreamUnsettled, Doc: "only streams are settled: the original defect"},
	{Name: "chunked-unsettled", Family: FamilySettle, wrap: chunkedUnsettled, Doc: "whole responses are settled only if they have a Content-Length"},

	{Name: "stream-unsettled", Family: FamilyStream, wrap: streamUnsettled, Doc: "streams are never settled"},
	{Name: "injected-event-leaks", Family: FamilyStream, wrap: injectedEventLeaks, Doc: "the client sees the usage event that only the limiter asked for"},

	{Name: "body-reserialised", Family: FamilyWire, wrap: bodyReserialised, Doc: "JSON responses are decoded and encoded again on their way to the client"},
}

var (
	delay = Param{Name: "delay", Default: "30s", Doc: "how late"}
	pause = Param{Name: "pause", Default: "1ms", Doc: "between the check and the taking"}
)
