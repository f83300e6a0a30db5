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
	// Refs name where it was seen: owner/repo#n.
	Refs []string
	// Params are what may follow the name: "late-refund:delay=5s,rate=10%". Every fault also has rate.
	Params []Param

	share int64 // of whole: the rate if none is given; 0 means always
	wrap  func(cfg proxy.Config, t *Trigger) proxy.Config
}

// The families of faults.
const (
	FamilyReserve    = "reserve"    // what is taken before a request
	FamilyAtomicity  = "atomicity"  // whether it is taken at once, from all accounts or from none
	FamilyWindow     = "window"     // what time and a new policy do to an account
	FamilyArithmetic = "arithmetic" // a little too much or too little, which adds up
	FamilySettle     = "settle"     // what is given back after a request
	FamilyReading    = "reading"    // what is read of the usage
	FamilyStream     = "stream"     // what is read of streams, and passed on
	FamilyDisconnect = "disconnect" // what becomes of a client that leaves
	FamilyError      = "error"      // what becomes of a provider that fails
	FamilySilent     = "silent"     // limits that are configured and not enforced
	FamilyHeader     = "header"     // what the client is told
	FamilyKey        = "key"        // who pays
	FamilyShadow     = "shadow"     // what a policy on trial does
	FamilyWire       = "wire"       // what the two sides see
)

// Table is every fault, in the order in which they wrap: a later one is around an earlier one.
var Table = []Fault{
	{Name: "reserve-nothing", Family: FamilyReserve, wrap: reserveNothing, Refs: []string{"BerriAI/litellm#18730"}, Doc: "tokens are taken when the response has ended, not before the request"},
	{Name: "prompt-forgotten", Family: FamilyReserve, wrap: promptForgotten, Refs: []string{"BerriAI/litellm#17664"}, Doc: "the output alone is reserved"},
	{Name: "estimate-scans-text", Family: FamilyReserve, wrap: estimateScansText, Doc: "the prompt is found by a text search: only in compact JSON, and only up to the first quote"},
	{Name: "parts-cost-nothing", Family: FamilyReserve, wrap: partsCostNothing, Refs: []string{"BerriAI/litellm#35110"}, Doc: "a content that is a list of parts costs nothing"},
	{Name: "tools-cost-nothing", Family: FamilyReserve, wrap: toolsCostNothing, Doc: "the definitions of tools cost nothing"},
	{Name: "last-message-only", Family: FamilyReserve, wrap: lastMessageOnly, Doc: "the last message is estimated, not the conversation"},
	{Name: "n-ignored", Family: FamilyReserve, wrap: nIgnored, Doc: "one answer is reserved, however many are asked for"},
	{Name: "max-completion-ignored", Family: FamilyReserve, wrap: maxCompletionIgnored, Refs: []string{"BerriAI/litellm#37001", "BerriAI/litellm#34223"}, Doc: "max_completion_tokens is not known"},
	{Name: "max-output-ignored", Family: FamilyReserve, wrap: maxOutputIgnored, Refs: []string{"BerriAI/litellm#34728"}, Doc: "max_output_tokens is not known"},
	{Name: "smallest-allowance", Family: FamilyReserve, wrap: smallestAllowance, Refs: []string{"BerriAI/litellm#37001"}, Doc: "of several allowances the smallest is reserved"},
	{Name: "first-of-two-keys", Family: FamilyReserve, wrap: firstOfTwoKeys, Doc: "of a key that is there twice the first one is read"},
	{Name: "odd-allowance-is-zero", Family: FamilyReserve, wrap: oddAllowanceIsZero, Refs: []string{"entrius/gittensor#1750"}, Doc: "an allowance that is no positive integer is taken for zero"},
	{Name: "default-forgotten", Family: FamilyReserve, wrap: defaultForgotten, Doc: "a request without an allowance reserves its prompt"},
	{Name: "one-guess-for-all", Family: FamilyReserve, wrap: oneGuessForAll, Refs: []string{"BerriAI/litellm#35788", "BerriAI/litellm#36143"}, Doc: "1000 tokens of output are reserved for everyone"},
	{Name: "embeddings-reserve-output", Family: FamilyReserve, wrap: embeddingsReserveOutput, Refs: []string{"typedef-ai/fenic#313"}, Doc: "embeddings reserve an output that they do not have"},
	{Name: "floor-of-1024", Family: FamilyReserve, wrap: floorOf1024, Refs: []string{"BerriAI/litellm#29191", "BerriAI/litellm#29193"}, Doc: "at least 1024 tokens are reserved, whatever the limit"},
	{Name: "guess-over-limit", Family: FamilyReserve, wrap: guessOverLimit, Refs: []string{"BerriAI/litellm#29191"}, Doc: "a default allowance above the limit rejects every request for good"},
	{Name: "reading-costs", Family: FamilyReserve, wrap: readingCosts, Doc: "GET, HEAD and OPTIONS reserve tokens"},
	{Name: "weights-unreserved", Family: FamilyReserve, wrap: weightsUnreserved, Refs: []string{"BerriAI/litellm#40002"}, Doc: "a reservation is priced without the weights of its rule"},
	{Name: "hint-lowers", Family: FamilyReserve, wrap: hintLowers, Doc: "a client may say that its prompt is smaller than it is"},
	{Name: "cap-not-forwarded", Family: FamilyReserve, wrap: capNotForwarded, Doc: "max_completion_tokens shrinks the reservation and not the request"},

	{Name: "not-atomic", Family: FamilyAtomicity, wrap: notAtomic, Params: []Param{pause}, Refs: []string{"BerriAI/litellm#18730", "Kuadrant/limitador#520"}, Doc: "accounts are checked first and taken from a moment later, unchecked"},
	{Name: "race-of-10ms", Family: FamilyAtomicity, wrap: notAtomic, Params: []Param{longPause}, Doc: "accounts are checked first and taken from 10 ms later, unchecked"},
	{Name: "rejected-is-charged", Family: FamilyAtomicity, wrap: rejectedIsCharged, Refs: []string{"BerriAI/litellm#27001"}, Doc: "a rejected request eats budget"},
	{Name: "rollback-partial", Family: FamilyAtomicity, wrap: rollbackPartial, Refs: []string{"praxis-proxy/ai#979"}, Doc: "a request that the second rule rejects has paid the first"},
	{Name: "rejected-keeps-request", Family: FamilyAtomicity, wrap: rejectedKeepsRequest, Refs: []string{"BerriAI/litellm#39544"}, Doc: "a request that another limit rejects counts as a request"},
	{Name: "one-request-too-many", Family: FamilyAtomicity, wrap: oneRequestTooMany, Refs: []string{"alibaba/higress#4703"}, Doc: "a window that is spent to the last token lets one more request pass"},
	{Name: "exact-fit-rejected", Family: FamilyAtomicity, wrap: exactFitRejected, Doc: "who needs all that is left is rejected"},

	{Name: "window-rolling", Family: FamilyWindow, wrap: windowRolling, Doc: "a day begins with the first request and ends 24 hours later"},
	{Name: "window-local-midnight", Family: FamilyWindow, wrap: windowLocalMidnight, Doc: "a day begins at the midnight of another time zone"},
	{Name: "window-as-bucket", Family: FamilyWindow, wrap: windowAsBucket, Refs: []string{"wso2/api-platform#2936"}, Doc: "a daily budget is refilled bit by bit"},
	{Name: "refund-into-today", Family: FamilyWindow, wrap: refundIntoToday, Doc: "what was reserved before midnight is given back to the day after it"},
	{Name: "seconds-as-minutes", Family: FamilyWindow, wrap: secondsAsMinutes, Refs: []string{"api7/aisix#399"}, Doc: "a rate of N a second lets 60 N pass at once"},
	{Name: "burst-is-rate", Family: FamilyWindow, wrap: burstIsRate, Doc: "burst_tokens is not read: the burst is what a minute gives"},
	{Name: "reload-refills", Family: FamilyWindow, wrap: reloadRefills, Refs: []string{"nuetzliches/hookaido#239"}, Doc: "a new policy makes all accounts new"},
	{Name: "reload-ignored", Family: FamilyWindow, wrap: reloadIgnored, Refs: []string{"alibaba/higress#1933"}, Doc: "a new policy changes nothing"},
	{Name: "idle-forgotten", Family: FamilyWindow, wrap: idleForgotten, Doc: "an account that nobody used for a minute is new, whatever it owes"},
	{Name: "lease-endless", Family: FamilyWindow, wrap: leaseEndless, Refs: []string{"BerriAI/litellm#37539"}, Doc: "a reservation that nobody settles is held for ever"},

	{Name: "over-admits-50", Family: FamilyArithmetic, wrap: overAdmits50, Doc: "who lacks up to 50 tokens is admitted"},
	{Name: "rate-fast", Family: FamilyArithmetic, wrap: rateFast, Doc: "buckets refill 1 % too fast"},
	{Name: "rate-slow", Family: FamilyArithmetic, wrap: rateSlow, Doc: "buckets refill 1 % too slowly"},
	{Name: "burst-large", Family: FamilyArithmetic, wrap: burstLarge, Doc: "bursts are 2 % too large"},
	{Name: "refund-uncapped", Family: FamilyArithmetic, wrap: refundUncapped, Doc: "refunds lift a level over its burst"},
	{Name: "refund-short", Family: FamilyArithmetic, wrap: shortRefund, Doc: "95 of 100 unused tokens are given back"},
	{Name: "refund-dropped-1-in-10", Family: FamilyArithmetic, wrap: noRefund, share: whole / 10, Doc: "every tenth refund is lost"},
	{Name: "refund-dropped-1-in-100", Family: FamilyArithmetic, wrap: noRefund, share: whole / 100, Doc: "every hundredth refund is lost"},
	{Name: "refund-twice-1-in-100", Family: FamilyArithmetic, wrap: refundTwice, share: whole / 100, Doc: "every hundredth refund is given twice"},
	{Name: "refund-half-second-late", Family: FamilyArithmetic, wrap: lateRefund, Params: []Param{shortDelay}, Doc: "refunds come half a second late"},

	{Name: "no-refund", Family: FamilySettle, wrap: noRefund, Refs: []string{"BerriAI/litellm#38647"}, Doc: "what was reserved and not used is never given back"},
	{Name: "refund-twice", Family: FamilySettle, wrap: refundTwice, Doc: "what was not used is given back twice"},
	{Name: "late-refund", Family: FamilySettle, wrap: lateRefund, Params: []Param{delay}, Doc: "settlements take effect after a delay"},
	{Name: "settled-on-top", Family: FamilySettle, wrap: settledOnTop, Refs: []string{"BerriAI/litellm#35569"}, Doc: "what was used is charged on top of what was reserved"},
	{Name: "overshoot-forgiven", Family: FamilySettle, wrap: overshootForgiven, Doc: "what was used beyond the reservation is free"},
	{Name: "debit-twice", Family: FamilySettle, wrap: debitTwice, Doc: "what was used beyond the reservation is charged twice"},
	{Name: "missing-usage-refunds-all", Family: FamilySettle, wrap: missingUsageRefundsAll, Refs: []string{"kuadrant/kuadrant-operator#2263"}, Doc: "a response without usage is free"},
	{Name: "tpd-not-refunded", Family: FamilySettle, wrap: tpdNotRefunded, Doc: "the daily budget keeps what was reserved; the minute is refunded"},
	{Name: "tpm-not-refunded", Family: FamilySettle, wrap: tpmNotRefunded, Doc: "the minute keeps what was reserved; the daily budget is refunded"},
	{Name: "non-stream-unsettled", Family: FamilySettle, wrap: nonStreamUnsettled, Doc: "only streams are settled: the original defect"},
	{Name: "chunked-unsettled", Family: FamilySettle, wrap: chunkedUnsettled, Doc: "whole responses are settled only if they have a Content-Length"},
	{Name: "stream-unsettled", Family: FamilySettle, wrap: streamUnsettled, Refs: []string{"api7/aisix#108"}, Doc: "streams are never settled"},

	{Name: "usage-added-up", Family: FamilyReading, wrap: usageAddedUp, Refs: []string{"higress-group/higress#1080", "InsForge/InsForge#2015"}, Doc: "the usages of a stream are added up"},
	{Name: "first-usage-wins", Family: FamilyReading, wrap: firstUsageWins, Doc: "the first usage of a stream is charged, not the last"},
	{Name: "usage-by-text-search", Family: FamilyReading, wrap: usageByTextSearch, Doc: "the first text that looks like a usage is one, whoever said it"},
	{Name: "json-scanned", Family: FamilyReading, wrap: jsonScanned, Doc: "the usage is read without a look at the document around it"},
	{Name: "total-required", Family: FamilyReading, wrap: totalRequired, Refs: []string{"wso2/api-platform#2932"}, Doc: "a usage without a total is one token"},
	{Name: "output-only", Family: FamilyReading, wrap: outputOnly, Refs: []string{"BerriAI/litellm#17664"}, Doc: "the output is charged, and not the input"},
	{Name: "anthropic-output-only", Family: FamilyReading, wrap: anthropicOutputOnly, Refs: []string{"apache/apisix#13662"}, Doc: "streams of Anthropic's are charged by their last usage, which has no input"},
	{Name: "one-dialect-unmetered", Family: FamilyReading, wrap: oneDialectUnmetered, Refs: []string{"obot-platform/obot#7488"}, Doc: "the usage of the Responses API is not found"},
	{Name: "empty-usage-is-zero", Family: FamilyReading, wrap: emptyUsageIsZero, Refs: []string{"defilantech/LLMKube#1852"}, Doc: "no usage is a usage of nothing"},
	{Name: "invalid-usage-is-zero", Family: FamilyReading, wrap: invalidUsageIsZero, Doc: "a usage that is negative, text or absurd is a usage of nothing"},
	{Name: "unreadable-is-zero", Family: FamilyReading, wrap: unreadableIsZero, Refs: []string{"kuadrant/kuadrant-operator#2263"}, Doc: "a response that cannot be read has cost nothing"},
	{Name: "too-large-is-zero", Family: FamilyReading, wrap: tooLargeIsZero, Doc: "a response that is too large to be read has cost nothing"},
	{Name: "paths-ignored", Family: FamilyReading, wrap: pathsIgnored, Doc: "json_paths are read and not used"},
	{Name: "cached-twice", Family: FamilyReading, wrap: cachedTwice, Doc: "cached input is added to an input that contains it"},
	{Name: "cached-free", Family: FamilyReading, wrap: cachedFree, Doc: "cached input is not counted"},
	{Name: "cached-unweighted", Family: FamilyReading, wrap: cachedUnweighted, Refs: []string{"BerriAI/litellm#18872"}, Doc: "cached input is priced as any input"},
	{Name: "reasoning-twice", Family: FamilyReading, wrap: reasoningTwice, Doc: "reasoning is added to an output that contains it"},
	{Name: "reasoning-free", Family: FamilyReading, wrap: reasoningFree, Doc: "reasoning is not counted"},
	{Name: "encoded-unread", Family: FamilyReading, wrap: encodedUnread, Doc: "compressed responses are not decoded"},
	{Name: "encoded-is-zero", Family: FamilyReading, wrap: encodedIsZero, Refs: []string{"github/gh-aw-firewall#1550"}, Doc: "compressed responses are read as text, and cost nothing"},

	{Name: "sse-lf-only", Family: FamilyStream, wrap: sseLFOnly, Doc: "lines of a stream end with a line feed, or not at all"},
	{Name: "sse-needs-space", Family: FamilyStream, wrap: sseNeedsSpace, Doc: "a field without a space after its colon is not known"},
	{Name: "sse-one-read-per-event", Family: FamilyStream, wrap: sseOneReadPerEvent, Refs: []string{"higress-group/wasm-go#17", "vllm-project/aibrix#2653"}, Doc: "an event that comes in two reads is lost"},
	{Name: "include-usage-not-forced", Family: FamilyStream, wrap: includeUsageNotForced, Refs: []string{"Noveum/ai-gateway#30"}, Doc: "streams whose clients do not ask for usage have none"},
	{Name: "injected-event-leaks", Family: FamilyStream, wrap: injectedEventLeaks, Refs: []string{"nguyenphutrong/quotio#460"}, Doc: "the client sees the usage event that only the limiter asked for"},
	{Name: "usage-event-swallowed", Family: FamilyStream, wrap: usageEventSwallowed, Doc: "a client that asks for the usage of its stream gets none"},
	{Name: "stream-options-not-retried", Family: FamilyStream, wrap: streamOptionsNotRetried, Refs: []string{"BerriAI/litellm#35290"}, Doc: "a provider that does not know stream_options fails every stream"},
	{Name: "buffers-stream", Family: FamilyStream, wrap: buffersStream, Doc: "a stream reaches the client when it has ended"},
	{Name: "comments-dropped", Family: FamilyStream, wrap: commentsDropped, Doc: "comments of a stream do not reach the client"},
	{Name: "nothing-after-done", Family: FamilyStream, wrap: nothingAfterDone, Doc: "what follows [DONE] does not reach the client"},

	{Name: "disconnect-refunds-all", Family: FamilyDisconnect, wrap: disconnectRefundsAll, Refs: []string{"higress-group/higress#4145"}, Doc: "a client that leaves pays nothing"},
	{Name: "disconnect-keeps-all", Family: FamilyDisconnect, wrap: disconnectKeepsAll, Refs: []string{"Wei-Shaw/sub2api#4408"}, Doc: "a client that leaves pays all that was reserved"},
	{Name: "disconnect-leaks", Family: FamilyDisconnect, wrap: disconnectLeaks, Refs: []string{"Noveum/ai-gateway#30"}, Doc: "the reservation of a client that leaves is never settled"},
	{Name: "slot-leaks-on-disconnect", Family: FamilyDisconnect, wrap: slotLeaksOnDisconnect, Refs: []string{"BerriAI/litellm#27955"}, Doc: "a client that leaves holds its slot for as long as its answer is read"},
	{Name: "slot-released-at-headers", Family: FamilyDisconnect, wrap: slotReleasedAtHeaders, Refs: []string{"sgl-project/sglang#14653"}, Doc: "a slot comes back when the provider begins to answer"},
	{Name: "truncated-stream-refunds", Family: FamilyDisconnect, wrap: truncatedStreamRefunds, Refs: []string{"solanabr/superteam-academy#590"}, Doc: "a stream without its end is free"},
	{Name: "not-cancelled", Family: FamilyDisconnect, wrap: notCancelled, Refs: []string{"BerriAI/litellm#37140"}, Doc: "a provider goes on generating for a client that has left"},
	{Name: "leaving-unnoticed", Family: FamilyDisconnect, wrap: leavingUnnoticed, Refs: []string{"BerriAI/litellm#30245"}, Doc: "a client that leaves is noticed when it is written to, and not before"},
	{Name: "drains-forever", Family: FamilyDisconnect, wrap: drainsForever, Doc: "the answer of a client that has left is read for as long as it takes"},
	{Name: "drains-everything", Family: FamilyDisconnect, wrap: drainsEverything, Refs: []string{"BerriAI/litellm#36429"}, Doc: "the answer of a client that has left is read however large it is"},
	{Name: "drains-for-everyone", Family: FamilyDisconnect, wrap: drainsForEveryone, Doc: "the answers of any number of clients that have left are read at once"},

	{Name: "error-keeps-all", Family: FamilyError, wrap: errorKeepsAll, Refs: []string{"koala73/worldmonitor#8189"}, Doc: "an answer that generated nothing costs all that was reserved"},
	{Name: "error-refunds-all", Family: FamilyError, wrap: errorRefundsAll, Doc: "an error is free, also where it reports a usage"},
	{Name: "timeout-refunds-all", Family: FamilyError, wrap: timeoutRefundsAll, Doc: "a provider that takes too long is free"},
	{Name: "no-answer-refunds-all", Family: FamilyError, wrap: noAnswerRefundsAll, Doc: "a provider that hangs up before it answers is free"},
	{Name: "unreachable-keeps-all", Family: FamilyError, wrap: unreachableKeepsAll, Refs: []string{"koala73/worldmonitor#8189"}, Doc: "a request that never left costs all that was reserved"},
	{Name: "unreachable-leaks", Family: FamilyError, wrap: unreachableLeaks, Doc: "the reservation of a request that never left is never settled"},
	{Name: "interim-keeps-all", Family: FamilyError, wrap: interimKeepsAll, Doc: "early hints are taken for an answer, and cost all that was reserved"},
	{Name: "fails-inside", Family: FamilyError, wrap: failsInside, Doc: "the limiter breaks down between the reservation and the request"},
	{Name: "failure-keeps-all", Family: FamilyError, wrap: failureKeepsAll, Doc: "a client pays for the limiter's own mistakes"},
	{Name: "timeout-leaks", Family: FamilyError, wrap: timeoutLeaks, Doc: "the reservation of a timeout is never settled"},
	{Name: "broken-leaks", Family: FamilyError, wrap: brokenLeaks, Doc: "the reservation of a response that breaks off is never settled"},
	{Name: "retries-silently", Family: FamilyError, wrap: retriesSilently, Doc: "a request that failed is sent again, and billed again"},
	{Name: "error-gives-request-back", Family: FamilyError, wrap: errorGivesRequestBack, Refs: []string{"google/trillian#2025"}, Doc: "a request that failed does not count as a request"},

	{Name: "settle-options-ignored", Family: FamilySilent, wrap: settleOptionsIgnored, Doc: "on_disconnect and on_5xx are read and not obeyed"},
	{Name: "tpm-ignored", Family: FamilySilent, wrap: ignored("tpm"), Refs: []string{"langwatch/tasks#772"}, Doc: "tokens_per_minute is read and not enforced"},
	{Name: "tpd-ignored", Family: FamilySilent, wrap: ignored("tpd"), Doc: "tokens_per_day is read and not enforced"},
	{Name: "requests-ignored", Family: FamilySilent, wrap: ignored("requests"), Doc: "token_bucket rules are read and not enforced"},
	{Name: "budget-ignored", Family: FamilySilent, wrap: ignored("budget"), Refs: []string{"maximhq/bifrost#5673"}, Doc: "cost_based rules are read and not enforced"},
	{Name: "concurrency-ignored", Family: FamilySilent, wrap: ignored("concurrency"), Doc: "concurrency rules are read and not enforced"},
	{Name: "first-rule-only", Family: FamilySilent, wrap: firstRuleOnly, Doc: "of several rules that bind only the first is enforced"},
	{Name: "unknown-endpoint-free", Family: FamilySilent, wrap: unknownEndpointFree, Refs: []string{"maximhq/bifrost#2873"}, Doc: "endpoints without a dialect are not limited"},
	{Name: "one-endpoint-free", Family: FamilySilent, wrap: oneEndpointFree, Refs: []string{"BerriAI/litellm#27738"}, Doc: "the Responses API is not limited"},
	{Name: "streams-free", Family: FamilySilent, wrap: streamsFree, Refs: []string{"BerriAI/litellm#41610"}, Doc: "streams are not limited"},
	{Name: "kill-switch-ignored", Family: FamilySilent, wrap: killSwitchIgnored, Doc: "kill switches kill nothing"},
	{Name: "guards-ignored", Family: FamilySilent, wrap: guardsIgnored, Doc: "loops are not detected, and no circuit breaker opens"},
	{Name: "ceilings-ignored", Family: FamilySilent, wrap: ceilingsIgnored, Refs: []string{"praxis-proxy/ai#1122"}, Doc: "a single request has no ceiling"},
	{Name: "mid-stream-ignored", Family: FamilySilent, wrap: midStreamIgnored, Doc: "a stream runs on beyond the output limit of its rule"},
	{Name: "throttle-ignored", Family: FamilySilent, wrap: throttleIgnored, Doc: "a stage that delays does not delay"},
	{Name: "retroactive-ignored", Family: FamilySilent, wrap: retroactiveIgnored, Doc: "refunds that should be retroactive are capped"},

	{Name: "headers-missing-on-streams", Family: FamilyHeader, wrap: headersMissingOnStreams, Refs: []string{"BerriAI/litellm#27748"}, Doc: "streams do not tell what is left"},
	{Name: "headers-missing-on-success", Family: FamilyHeader, wrap: headersMissingOnSuccess, Refs: []string{"Kuadrant/limitador#436"}, Doc: "only rejections tell what is left"},
	{Name: "remaining-before-reservation", Family: FamilyHeader, wrap: remainingBeforeReservation, Doc: "answers tell what was left before the request"},
	{Name: "remaining-frozen", Family: FamilyHeader, wrap: remainingFrozen, Refs: []string{"envoyproxy/ai-gateway#1754"}, Doc: "what is left never falls"},
	{Name: "reset-zero", Family: FamilyHeader, wrap: resetZero, Refs: []string{"wso2/api-platform#2936"}, Doc: "the budget is said to be whole at once"},
	{Name: "reserved-unsaid", Family: FamilyHeader, wrap: reservedUnsaid, Doc: "answers do not tell what was reserved"},
	{Name: "retry-after-early", Family: FamilyHeader, wrap: retryAfterEarly, Doc: "half of the wait is named"},
	{Name: "retry-after-jittered-down", Family: FamilyHeader, wrap: retryAfterJitteredDown, Doc: "a random part is taken off the wait"},
	{Name: "retry-after-rounded-down", Family: FamilyHeader, wrap: retryAfterRoundedDown, Doc: "the wait is rounded down to seconds"},
	{Name: "retry-after-flat", Family: FamilyHeader, wrap: retryAfterFlat, Refs: []string{"Instawork/llm-proxy#40"}, Doc: "the wait is always a minute"},
	{Name: "retry-after-missing", Family: FamilyHeader, wrap: retryAfterMissing, Doc: "no wait is named"},
	{Name: "permanent-looks-temporary", Family: FamilyHeader, wrap: permanentLooksTemporary, Doc: "a request that can never pass is told to come again"},
	{Name: "origin-unknown", Family: FamilyHeader, wrap: originUnknown, Refs: []string{"tensorzero/tensorzero#3678"}, Doc: "the limiter's 429 cannot be told from the provider's"},
	{Name: "rejects-with-503", Family: FamilyHeader, wrap: rejectsWith503, Doc: "rejections are 503, as if the limiter were out of order"},
	{Name: "error-body-plain", Family: FamilyHeader, wrap: errorBodyPlain, Doc: "rejections are plain text"},
	{Name: "rejects-as-openai", Family: FamilyHeader, wrap: rejectsAsOpenAI, Doc: "rejections have OpenAI's form, whatever the client speaks"},
	{Name: "warnings-unsaid", Family: FamilyHeader, wrap: warningsUnsaid, Doc: "nobody is told that a budget is nearly spent"},
	{Name: "provider-wait-lost", Family: FamilyHeader, wrap: providerWaitLost, Doc: "a provider's own 429 loses its Retry-After"},
	{Name: "provider-limits-shown", Family: FamilyHeader, wrap: providerLimitsShown, Doc: "what is left of the provider's budget is shown as the client's"},

	{Name: "keys-collide", Family: FamilyKey, wrap: keysCollide, Doc: "the values of a key are joined with a colon, which may be part of one"},
	{Name: "keys-run-together", Family: FamilyKey, wrap: keysRunTogether, Doc: "the values of a key are joined with nothing"},
	{Name: "keys-fold-case", Family: FamilyKey, wrap: keysFoldCase, Doc: "keys that differ in case share an account"},
	{Name: "keys-truncated", Family: FamilyKey, wrap: keysTruncated, Doc: "keys that differ after 64 bytes share an account"},
	{Name: "keys-untrimmed", Family: FamilyKey, wrap: keysUntrimmed, Doc: "a blank around a key makes a new account"},
	{Name: "one-account-for-all", Family: FamilyKey, wrap: oneAccountForAll, Doc: "all payers share one account"},
	{Name: "account-per-endpoint", Family: FamilyKey, wrap: accountPerEndpoint, Doc: "a payer has a budget for each endpoint"},
	{Name: "account-per-model", Family: FamilyKey, wrap: accountPerModel, Doc: "a payer has a budget for each model"},
	{Name: "missing-key-skips", Family: FamilyKey, wrap: missingKeySkips, Doc: "a request without its key is not limited"},
	{Name: "forwarded-for-believed", Family: FamilyKey, wrap: forwardedForBelieved, Doc: "a client's address is what the client says"},

	{Name: "shadow-enforces", Family: FamilyShadow, wrap: shadowEnforces, Doc: "a policy in shadow mode rejects"},
	{Name: "shadow-silent", Family: FamilyShadow, wrap: shadowSilent, Doc: "a policy in shadow mode does not say what it would do"},
	{Name: "shadow-shares", Family: FamilyShadow, wrap: shadowShares, Doc: "a policy in shadow mode spends from the accounts of the one in force"},

	{Name: "body-reserialised", Family: FamilyWire, wrap: bodyReserialised, Doc: "JSON responses are decoded and encoded again on their way to the client"},
	{Name: "decompresses", Family: FamilyWire, wrap: decompresses, Doc: "gzip is undone on the way to the client"},
}

var (
	delay      = Param{Name: "delay", Default: "30s", Doc: "how late"}
	shortDelay = Param{Name: "delay", Default: "500ms", Doc: "how late"}
	pause      = Param{Name: "pause", Default: "1ms", Doc: "between the check and the taking"}
	longPause  = Param{Name: "pause", Default: "10ms", Doc: "between the check and the taking"}
)
