package shrink_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmlimit/llmlimit/pkg/scenarios/shrink"
)

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Whatever it takes to fail, exactly that is left.
func TestMinimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "n")
		need := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, min(n, 6), rapid.ID[int]).Draw(t, "need")
		slices.Sort(need)
		got := shrink.Minimal(upTo(n), 100_000, func(kept []int) bool {
			return !slices.ContainsFunc(need, func(i int) bool { return !slices.Contains(kept, i) })
		})
		if !slices.Equal(got, need) {
			t.Fatalf("%v are left, %v are needed", got, need)
		}
	})
}

// A number of things, whichever they are, is as good as named ones.
func TestMinimalOfAny(t *testing.T) {
	got := shrink.Minimal(upTo(1000), 100_000, func(kept []int) bool { return len(kept) >= 17 })
	if len(got) != 17 || !slices.IsSorted(got) {
		t.Errorf("%v are left, want 17 in order", got)
	}
}

// When the tries are used up, the smallest part that failed is the answer.
func TestMinimalGivesUp(t *testing.T) {
	tried := 0
	got := shrink.Minimal(upTo(1000), 20, func(kept []int) bool { tried++; return len(kept) >= 17 })
	if tried > 20 || len(got) < 17 || len(got) == 1000 {
		t.Errorf("%d tries left %d", tried, len(got))
	}
}

func ExampleMinimal() {
	// Which of a hundred requests does it take to overdraw?
	overdraws := func(kept []int) bool { return slices.Contains(kept, 7) && slices.Contains(kept, 70) }
	fmt.Println(shrink.Minimal(upTo(100), 1000, overdraws))
	// Output: [7 70]
}
