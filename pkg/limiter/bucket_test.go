package limiter

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBucketIsExact compares refills, charges and waits of any size with fractions of any precision.
func TestBucketIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Limit{Kind: TokenBucket, Burst: magnitude(MaxBurst).Draw(t, "burst"), TokensPerMinute: magnitude(MaxBurst).Draw(t, "tpm")}
		if rapid.Bool().Draw(t, "requests") {
			l = &Limit{Kind: RequestBucket, Burst: magnitude(MaxBurst*Micro).Draw(t, "burst"), MicroPerSecond: magnitude(MaxBurst*Micro).Draw(t, "rate")}
		}
		f := l.flow()
		b, now := bucket{level: f.burst}, int64(0)
		exact, top := rat(f.burst, 1), rat(f.burst, 1)
		for range 50 {
			elapsed := magnitude(int64(10*365*24*time.Hour)).Draw(t, "elapsed")
			if now > 1<<62 {
				break
			}
			now += elapsed
			b.refill(f, now)
			exact.Add(exact, new(big.Rat).Mul(rat(elapsed, 1), rat(int64(f.rate), int64(f.per))))
			if exact.Cmp(top) > 0 {
				exact.Set(top)
			}
			same(t, b, f, exact)

			cost := rapid.Int64Range(0, f.burst/f.scale).Draw(t, "cost")
			checkBucketWait(t, b, f, exact, cost*f.scale)
			amount := cost - rapid.Int64Range(0, f.burst/f.scale).Draw(t, "refund")
			off := b.charge(f, amount)
			exact.Sub(exact, new(big.Rat).Mul(rat(amount, 1), rat(f.scale, 1)))
			if exact.Cmp(top) > 0 {
				exact.Set(top)
			}
			if floor := new(big.Rat).Neg(top); exact.Cmp(floor) < 0 {
				lost := new(big.Rat).Sub(floor, exact)
				got := new(big.Rat).Add(new(big.Rat).Mul(rat(off.Tokens, 1), rat(f.scale, 1)), rat(off.Micro, 1))
				if diff := got.Sub(got, lost); diff.Sign() < 0 || diff.Cmp(rat(1, 1)) >= 0 {
					t.Fatalf("%+v written off, %v more than exact", off, diff)
				}
				exact.Set(floor)
			} else if off != (WrittenOff{}) {
				t.Fatalf("%+v written off above the floor", off)
			}
			same(t, b, f, exact)
		}
	})
}

// magnitude draws numbers of every size up to most, not only large ones.
func magnitude(most int64) *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		return rapid.Int64Range(1, max(1, most>>rapid.IntRange(0, 62).Draw(t, "bits"))).Draw(t, "value")
	})
}

func rat(a, b int64) *big.Rat { return big.NewRat(a, b) }

func same(t *rapid.T, b bucket, f flow, exact *big.Rat) {
	got := new(big.Rat).Add(rat(b.level, 1), rat(b.carry, int64(f.per)))
	if got.Cmp(exact) != 0 {
		t.Fatalf("level %v, expected %v", got, exact)
	}
}

// checkBucketWait: at the wait the level is there, a nanosecond earlier it is not.
func checkBucketWait(t *rapid.T, b bucket, f flow, exact *big.Rat, target int64) {
	wait := b.wait(f, target)
	at := func(ns int64) *big.Rat {
		gain := new(big.Rat).Mul(rat(ns, 1), rat(int64(f.rate), int64(f.per)))
		return gain.Add(gain, exact)
	}
	if wait != 1<<63-1 && at(int64(wait)).Cmp(rat(target, 1)) < 0 {
		t.Fatalf("after %v the level is below %d", wait, target)
	}
	if wait > 0 && at(int64(wait)-1).Cmp(rat(target, 1)) >= 0 {
		t.Fatalf("1 ns before %v the level is %d already", wait, target)
	}
}

// TestOneHugeOvershoot: an actual of 2^53 tokens, a million times a micro-token, is more than 64 bits hold.
func TestOneHugeOvershoot(t *testing.T) {
	l := &Limit{Kind: TokenBucket, Burst: 10, TokensPerMinute: 1}
	f := l.flow()
	b := bucket{level: 3_500_000}
	if off := b.charge(f, MaxAmount); b.level != -10*Micro || off != (WrittenOff{Tokens: MaxAmount - 14, Micro: 500_000}) {
		t.Errorf("level %d, %+v written off", b.level, off)
	}
}

// TestLeasesAreAHeap: whatever is pushed, removed and delayed, the first one ends first and everyone knows its place.
func TestLeasesAreAHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h leases
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 3).Draw(t, "step"); {
			case k < 2 || len(h) == 0:
				h.push(&reservation{deadline: rapid.Int64Range(0, 50).Draw(t, "deadline")})
			case k == 2:
				r := h[rapid.IntRange(0, len(h)-1).Draw(t, "removed")]
				if h.remove(r); r.place != -1 {
					t.Fatal("a removed lease has a place")
				}
			default:
				r := h[rapid.IntRange(0, len(h)-1).Draw(t, "delayed")]
				h.delay(r, r.deadline+rapid.Int64Range(0, 50).Draw(t, "by"))
			}
			for i, r := range h {
				if r.place != i || r.deadline < h[max(0, i-1)/2].deadline {
					t.Fatalf("lease %d has place %d and ends at %d, before %d", i, r.place, r.deadline, h[max(0, i-1)/2].deadline)
				}
			}
		}
	})
}

// TestReplayIsBounded: beyond 4096 events the oldest open reservation counts as kept, and the level with it.
func TestReplayIsBounded(t *testing.T) {
	m := New(Options{})
	l := &Limit{Kind: TokenBucket, Burst: 1 << 20, TokensPerMinute: 1, Refund: Retroactive}
	now := time.Unix(0, 0)
	reserve := func(n int, cost int64) {
		t.Helper()
		id := ID{byte(n), byte(n >> 8), 1}
		d, err := m.Reserve(now, &Request{ID: id, Lease: time.Hour, Holds: []Hold{{Account: Account{Key: "a", Limit: l}, Cost: cost}}})
		if err != nil || !d.Admitted {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	settle := func(n int, actual int64) {
		t.Helper()
		if _, err := m.Settle(now, ID{byte(n), byte(n >> 8), 1}, []int64{actual}); err != nil {
			t.Fatal(err)
		}
	}
	level := func(want int64) {
		t.Helper()
		if got := m.Inspect(now, func(Account) bool { return true })[0].Level; got != want*Micro {
			t.Fatalf("level %d, expected %d tokens", got, want)
		}
	}
	reserve(0, 1000)
	for n := range maxReplay {
		reserve(n+1, 1)
	}
	reserve(5000, 1000)
	level(1<<20 - 2000 - maxReplay)
	settle(0, 0) // kept: nothing comes back
	level(1<<20 - 2000 - maxReplay)
	settle(1, 11) // kept, too, but the overshoot is owed
	level(1<<20 - 2000 - maxReplay - 10)
	settle(5000, 0)
	level(1<<20 - 1000 - maxReplay - 10)
}
