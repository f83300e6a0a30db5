package mockllm

import "sync"

// answerKey is all that shapes the answer to a request that has no correlation id and orders nothing of its own: what was asked, and
// which of the stored plans answers it.
type answerKey struct {
	ask     ask
	plan    string // its name, "" for the default
	version uint64 // of the stored plans
	body    int    // bytes of the request, 0 unless the usage is estimated from them
}

// answerCache keeps compiled answers. Draws depend on the seed, the plan's name and the correlation id alone, so requests without
// an id that ask for the same get the same bytes: they are made once. A compiled answer is never changed, so that many requests
// can play it at the same time.
type answerCache struct {
	mu      sync.Mutex
	answers map[answerKey]*answer
	bytes   int
}

// Beyond these the cache is emptied: a model's name is part of the key, and that is the client's to choose.
const (
	maxCached     = 1024
	maxCacheBytes = 16 << 20
)

func (c *answerCache) get(k answerKey) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[k]
}

func (c *answerCache) put(k answerKey, a *answer) {
	size := len(a.whole) + len(k.ask.model)
	if size > maxCacheBytes/16 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes += size; c.answers == nil || len(c.answers) == maxCached || c.bytes > maxCacheBytes {
		c.answers, c.bytes = map[answerKey]*answer{}, size
	}
	c.answers[k] = a
}
