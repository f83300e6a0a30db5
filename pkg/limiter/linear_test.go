package limiter_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// dayCall is a call on the account of a day: a reservation, or the settlement of one.
type dayCall struct {
	settles bool
	cost    int64
	actual  int64
}

// dayAnswer is what the caller saw.
type dayAnswer struct {
	admitted  bool
	remaining int64
}

// dayModel is a day's window as one caller at a time would see it: a number.
func dayModel(amount int64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			used, call := state.(int64), input.(dayCall)
			if call.settles {
				return true, used - call.cost + call.actual
			}
			answer := output.(dayAnswer)
			if admits := used+call.cost <= amount; admits != answer.admitted {
				return false, used
			}
			if answer.admitted {
				used += call.cost
			}
			return answer.remaining == max(amount-used, 0), used
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
}

// TestDayIsLinearizable: whatever concurrent callers see of a day's window, there is an order of their calls in which a
// single number explains all of it.
func TestDayIsLinearizable(t *testing.T) {
	rounds := 40
	if soak() {
		rounds = 2000
	}
	for round := range rounds {
		const amount = 100
		history := concurrentDay(t, uint64(round), amount)
		if porcupine.CheckOperationsTimeout(dayModel(amount), history, 10*time.Second) != porcupine.Ok {
			t.Fatalf("round %d: no order of %d calls explains what was seen", round, len(history))
		}
	}
}

// TestDayModelCanFail plants an answer that no order explains.
func TestDayModelCanFail(t *testing.T) {
	history := concurrentDay(t, 1, 100)
	for i, op := range history {
		if answer, ok := op.Output.(dayAnswer); ok {
			answer.remaining++
			history[i].Output = answer
			break
		}
	}
	if porcupine.CheckOperationsTimeout(dayModel(100), history, 10*time.Second) != porcupine.Illegal {
		t.Fatal("a wrong answer was explained")
	}
}

func concurrentDay(t *testing.T, seed uint64, amount int64) []porcupine.Operation {
	t.Helper()
	store := limiter.New(limiter.Options{})
	day := &limiter.Limit{Name: "tpd", Kind: limiter.Window, Period: limiter.Day, Amount: amount}
	var clock atomic.Int64 // orders calls and returns; the store's time stands still
	var mu sync.Mutex
	var history []porcupine.Operation
	call := func(client int, in any, do func() any) any {
		begin := clock.Add(1)
		out := do()
		end := clock.Add(1)
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: begin, Output: out, Return: end})
		return out
	}
	var wg sync.WaitGroup
	for client := range 6 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			for i := range 12 {
				in := dayCall{cost: random.Int64N(40), actual: random.Int64N(50)}
				id := limiter.ID{byte(client), byte(i), 1}
				answer := call(client, in, func() any {
					d, err := store.Reserve(t0, &limiter.Request{ID: id, Lease: time.Hour, Holds: []limiter.Hold{
						{Account: limiter.Account{Key: "a", Limit: day}, Cost: in.cost},
					}})
					if err != nil {
						t.Error(err)
						return dayAnswer{}
					}
					return dayAnswer{admitted: d.Admitted, remaining: d.Holds[0].Remaining}
				}).(dayAnswer)
				if !answer.admitted {
					continue
				}
				in.settles = true
				call(client, in, func() any {
					if _, err := store.Settle(t0, id, []int64{in.actual}); err != nil {
						t.Error(err)
					}
					return nil
				})
			}
		})
	}
	wg.Wait()
	return history
}
