package faulty

import (
	"net/http"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// slotLeaksOnDisconnect holds the slot of a client that has left for as long as its answer is read.
func slotLeaksOnDisconnect(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = clinging{store{cfg.Store}, t}
	return cfg
}

type clinging struct {
	store
	trigger *Trigger
}

func (s clinging) Release(now time.Time, id limiter.ID) error {
	if s.trigger.Strikes() {
		return nil
	}
	return s.store.Release(now, id)
}

// slotReleasedAtHeaders gives a slot back when the provider begins to answer. It does not know which: the oldest one.
func slotReleasedAtHeaders(cfg proxy.Config, t *Trigger) proxy.Config {
	s := &hasty{store: store{cfg.Store}}
	cfg.Store = s
	now := cfg.Now
	cfg.Transport = changeResponse(cfg.Transport, func(*http.Response) error {
		if id, ok := s.oldest(); ok && t.Strikes() {
			_ = s.Release(now(), id) // it may be settled already
		}
		return nil
	})
	return cfg
}

type hasty struct {
	store
	mu    sync.Mutex
	queue []limiter.ID
}

func (s *hasty) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	d, err := s.Store.Reserve(now, req)
	if err == nil && d.Admitted {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queue = append(s.queue, req.ID)
	}
	return d, err
}

func (s *hasty) oldest() (limiter.ID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return limiter.ID{}, false
	}
	id := s.queue[0]
	s.queue = s.queue[1:]
	return id, true
}
