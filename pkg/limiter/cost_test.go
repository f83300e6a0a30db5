package limiter_test

import (
	"testing"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

func TestCost(t *testing.T) {
	const huge = limiter.MaxAmount
	for _, c := range []struct {
		name string
		ask  limiter.Ask
		want int64
	}{
		{"prompt and allowance", limiter.Ask{Prompt: 36, Output: 500, Declared: true, N: 1, Lim: 6000}, 536},
		{"n answers", limiter.Ask{Prompt: 10, Output: 100, Declared: true, N: 3, Lim: 6000}, 310},
		{"n below 1 is 1", limiter.Ask{Prompt: 10, Output: 100, Declared: true, Lim: 6000}, 110},
		{"embeddings have no output", limiter.Ask{Prompt: 10, N: 1, Lim: 6000}, 10},
		{"default allowance that fits", limiter.Ask{Prompt: 36, Output: 1000, N: 1, Lim: 1036}, 1036},
		{"default allowance over lim", limiter.Ask{Prompt: 36, Output: 1000, N: 1, Lim: 1035}, 1035},
		{"default allowance, prompt just fits", limiter.Ask{Prompt: 500, Output: 1000, N: 1, Lim: 500}, 500},
		{"default allowance, prompt over lim", limiter.Ask{Prompt: 501, Output: 1000, N: 1, Lim: 500}, 1501},
		{"declared allowance over lim", limiter.Ask{Prompt: 36, Output: 1000, Declared: true, N: 1, Lim: 500}, 1036},
		{"product saturates", limiter.Ask{Output: 1 << 31, Declared: true, N: 1 << 31, Lim: 6000}, huge},
		{"sum saturates", limiter.Ask{Prompt: huge, Output: huge, Declared: true, N: 1, Lim: 6000}, huge},
		{"one below saturation", limiter.Ask{Prompt: huge - 2, Output: 1, Declared: true, N: 1, Lim: 6000}, huge - 1},
		{
			"weights take the dearest class", limiter.Ask{
				Prompt: 100, Output: 10, Declared: true, N: 2, Lim: 6000,
				Weights: limiter.Weights{Input: 1000, CachedInput: 100, CacheWrite: 1250, Output: 4000, Reasoning: 5000},
			}, 125 + 100,
		},
		{
			"weights round up once", limiter.Ask{
				Prompt: 1, Output: 1, Declared: true, N: 1, Lim: 6000,
				Weights: limiter.Weights{Input: 1, Output: 1},
			}, 1,
		},
		{
			"a weighted cost over 2^64 saturates", limiter.Ask{
				Prompt: huge, Output: 1, Declared: true, N: 1, Lim: 6000,
				Weights: limiter.Weights{Input: 1 << 40, Output: 1},
			}, huge,
		},
	} {
		if got := limiter.Cost(c.ask); got != c.want {
			t.Errorf("%s: Cost = %d, expected %d", c.name, got, c.want)
		}
	}
}

func TestCharge(t *testing.T) {
	w := limiter.Weights{Input: 1000, CachedInput: 100, CacheWrite: 1250, Output: 4000, Reasoning: 5000}
	for _, c := range []struct {
		weights limiter.Weights
		classes limiter.Classes
		want    int64
	}{
		{limiter.Weights{}, limiter.Classes{Input: 1, CachedInput: 2, CacheWrite: 3, Output: 4, Reasoning: 5}, 15},
		{w, limiter.Classes{Input: 10, CachedInput: 90, CacheWrite: 4, Output: 5, Reasoning: 2}, 10 + 9 + 5 + 20 + 10},
		{w, limiter.Classes{CachedInput: 1}, 1},
		{w, limiter.Classes{CachedInput: 11}, 2},
		{w, limiter.Classes{}, 0},
		{w, limiter.Classes{Output: limiter.MaxAmount}, limiter.MaxAmount},
	} {
		if got := c.weights.Charge(c.classes); got != c.want {
			t.Errorf("%+v cost %d, expected %d", c.classes, got, c.want)
		}
	}
}
