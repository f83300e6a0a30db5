package scenarios

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

func TestSelector(t *testing.T) {
	for _, tc := range []struct{ selector, want string }{
		{"a_total", "a_total map[]"},
		{`a_total{x='1',y="b c"}`, "a_total map[x:1 y:b c]"},
		{"a_total{ x = '1' , }", "a_total map[x:1]"},
		{"{x='1'}", "has no name"},
		{"a{x='1'", "not closed"},
		{"a{x=1}", "expected label='value'"},
		{"a{x='1'} 5", "not closed at its end"},
	} {
		name, labels, err := parseSelector(tc.selector)
		got := fmt.Sprint(name, " ", labels)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", tc.selector, got, tc.want)
		}
	}
}

func TestKeysOfALedger(t *testing.T) {
	h := &judge.History{Requests: []judge.Request{{Holds: []judge.Hold{{Key: "3:abc"}, {Key: "5:x,y\\z1:k"}, {Key: "9:cut"}, {Key: ""}}}}}
	keys := shownKeys(h)
	for shown, want := range map[string]string{
		"abc":                 "3:abc",
		"sha256:ba7816bf8f01": "3:abc", // of "abc", as everybody can compute
		`x\,y\\z,k`:           "5:x,y\\z1:k",
		"":                    "",
	} {
		if got, ok := keys[shown]; !ok || got != want {
			t.Errorf("%q is %q, %v; want %q", shown, got, ok, want)
		}
	}
	if _, ok := keys["cut"]; ok {
		t.Error("a key that is no tuple was taken for one")
	}
}

func TestOutcomeOfParents(t *testing.T) {
	for _, tc := range []struct {
		counts Counts
		want   Outcome
	}{
		{Counts{}, ""},
		{Counts{Skip: 2}, Skip},
		{Counts{Skip: 2, Pass: 1}, Pass},
		{Counts{Skip: 1, Pass: 1, Fail: 1}, Fail},
		{Counts{Pass: 1, Fail: 1, Error: 1}, Error},
	} {
		if got := tc.counts.Outcome(); got != tc.want {
			t.Errorf("%+v is %q, want %q", tc.counts, got, tc.want)
		}
	}
	if Fail.Worse(Skip) != Fail || Skip.Worse(Fail) != Fail || Fail.Worse(Error) != Error || Outcome("").Worse(Pass) != Pass {
		t.Error("the worse of two outcomes is not the worse")
	}
}

func TestMasking(t *testing.T) {
	mask := masker([]string{"secret", "secret-and-more", "abc"})
	if got := mask("a secret-and-more, a secret, abc"); got != "a ***, a ***, abc" {
		t.Errorf("masked to %q", got)
	}
}

// The judge sees the host that the target saw: that of the URL, unless the request names another.
func TestHostOfAView(t *testing.T) {
	s := &sentRequest{wire: client.Request{URL: "http://127.0.0.1:8080/v1/x", Header: http.Header{}}}
	w := &world{}
	if got := w.view(s).Host; got != "127.0.0.1:8080" {
		t.Errorf("got %s", got)
	}
	s.wire.Header.Set("Host", "api.example.com")
	if got := w.view(s).Host; got != "api.example.com" {
		t.Errorf("got %s, want what the request names", got)
	}
}
