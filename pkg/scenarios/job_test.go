package scenarios

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"github.com/llmlimit/llmlimit/pkg/judge"
)

// Whatever the number of requests, all of them reach the parent, in their order and
// each once, and in no line that would have to hold them all.
func TestPartsOfAnAnswer(t *testing.T) {
	for _, n := range []int{0, 1, partSize, partSize + 1, 2*partSize + 7} {
		var want part
		for i := range n {
			id := fmt.Sprint("r", i)
			want.Requests = append(want.Requests, &Exchange{ID: id, Step: "s", Curl: "curl " + id, Reserved: int64(i)})
			want.History = append(want.History, judge.Request{ID: id, Step: "s", Curl: "curl " + id, Status: i})
		}
		a := answer{Result: &ScenarioResult{Requests: want.Requests}, History: &judge.History{Requests: want.History}}
		var got part
		a.hand(func(p *part) {
			if len(p.Requests) > partSize || len(p.Requests) != len(p.History) {
				t.Errorf("of %d: a part of %d requests and %d of the history", n, len(p.Requests), len(p.History))
			}
			line, err := json.Marshal(news{Part: p})
			if err != nil {
				t.Fatal(err)
			}
			var heard news
			if err := json.Unmarshal(line, &heard); err != nil {
				t.Fatal(err)
			}
			got.take(heard.Part)
		})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("of %d: the parts do not make the whole", n)
		}
		if len(a.Result.Requests)+len(a.History.Requests) > 0 {
			t.Errorf("of %d: the answer still holds requests", n)
		}
		for i := range got.Requests {
			if unsafe.StringData(got.Requests[i].Curl) != unsafe.StringData(got.History[i].Curl) {
				t.Fatalf("of %d: the curl line of request %d is in memory twice", n, i)
			}
		}
	}
}
