// Package mockllm is an LLM provider that says exactly what it is told to say, misbehaves on demand, and remembers what it
// really did.
//
// A request is answered in four steps, and each step is one idea:
//
//	request ──► channel ──► Plan ──► dialect encoder ──► events ──► framing ──► segments ──► writer ──► journal
//	            who names    pure     chat, Responses,              SSE, JSON,     ▲         flush,      what was
//	            the plan     data     Anthropic, Gemini,            AWS frames     │         sleep,      received,
//	                                  Bedrock, ...                               faults      reset       written, when
//
// A [Plan] is data: the usage to report, where to report it, how to cut the bytes, what to break. The first control channel
// that names one (header, prompt marker, model name, path, upstream key, queue, default) decides. An encoder knows one
// provider's wire format and nothing about sockets. A fault changes the compiled answer before it is played, so that no fault
// lives inside the good code. The writer plays segments one by one and tells the [Journal] about every byte.
//
// The mock never derives usage from text. What it reports is what the plan says, which is what makes it a judge's witness:
// the journal's line of a request is the truth about that request.
//
// Everything that looks random is drawn from a PCG seeded by the seed, the plan's id and the correlation id, so that the
// order of arrival under concurrency changes nothing. All timers are ordinary timers of package time and no goroutine
// outlives the request that started it: the mock runs in a testing/synctest bubble.
package mockllm
