package limiter_test

import (
	"testing"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/limiter/limitertest"
)

func newMemory(testing.TB) limiter.Store { return limiter.New(limiter.Options{}) }

func TestStore(t *testing.T) { limitertest.TestStore(t, newMemory) }

func BenchmarkStore(b *testing.B) { limitertest.BenchmarkStore(b, newMemory) }
