package proxy

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// Ledger is the answer of GET /debug/ledger: every account that the query asks for, as the limiter counted it.
type Ledger struct {
	At       time.Time       `json:"at"`
	Accounts []LedgerAccount `json:"accounts"`
}

// LedgerAccount is one account. Amounts are in Unit. Those of a window are of the present one; Windows has all that are
// remembered.
type LedgerAccount struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	Window string `json:"window"` // tpm, tpd, requests, budget or concurrency
	Key    string `json:"key"`    // credentials and long values as a hash
	Shadow bool   `json:"shadow,omitempty"`
	Unit   string `json:"unit"` // tokens, micro-requests or slots

	Limit     int64 `json:"limit"`
	Remaining int64 `json:"remaining"`
	Level     int64 `json:"level"` // as limiter.AccountState has it: micro-tokens of a bucket
	Open      int   `json:"open"`
	Amounts
	Windows []LedgerWindow `json:"windows,omitempty"`
}

// LedgerWindow is one period of an account.
type LedgerWindow struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	Used  int64     `json:"used"`
	Open  int       `json:"open"`
	Amounts
}

// Amounts are the books: without anything outstanding, reserved = actual + refunded - debited.
type Amounts struct {
	Reserved        int64 `json:"reserved"`
	Actual          int64 `json:"actual"`
	Refunded        int64 `json:"refunded"`
	Debited         int64 `json:"debited"`
	WrittenOff      int64 `json:"written_off"`
	WrittenOffMicro int64 `json:"written_off_micro,omitempty"` // the part below one token
	Outstanding     int64 `json:"outstanding"`
}

func amounts(l limiter.Ledger) Amounts {
	return Amounts{
		Reserved: l.Reserved, Actual: l.Actual, Refunded: l.Refunded, Debited: l.Debited,
		WrittenOff: l.WrittenOff.Tokens, WrittenOffMicro: l.WrittenOff.Micro, Outstanding: l.Outstanding,
	}
}

// names remembers which rule and key an account belongs to, for people. The store knows accounts by a tuple in which
// credentials are readable; here they are as records show them. It is safe for concurrent use.
type names struct {
	mu    sync.RWMutex
	known map[string]accountName
}

// accountName is what an account is called.
type accountName struct {
	policy, rule, window, key string
	shadow                    bool
}

// mostNames bounds the memory. When it is full, names are learnt anew; until then the ledger shows a hash instead.
const mostNames = 1 << 16

// learn remembers the accounts of a reservation.
func (n *names) learn(r *reservation) {
	for i := range r.set.Holds {
		account := r.set.Holds[i].Account.Key
		n.mu.RLock()
		_, known := n.known[account]
		n.mu.RUnlock()
		if known {
			continue
		}
		b := &r.set.Bound[i]
		name := accountName{policy: b.Rule.Policy, rule: b.Rule.Name, window: b.Window, key: b.Key.String(), shadow: r.shadow}
		n.mu.Lock()
		if n.known == nil || len(n.known) >= mostNames {
			n.known = make(map[string]accountName)
		}
		n.known[account] = name
		n.mu.Unlock()
	}
}

func (n *names) of(a limiter.Account) accountName {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if name, ok := n.known[a.Key]; ok {
		return name
	}
	return accountName{rule: a.Limit.Name, key: policy.Redact(a.Key)}
}

// ledger reads the books, in the order of policy, rule, window and key. An empty rule or key means any; a key may be given as it
// is or as records show it.
func (e *engine) ledger(rule, key string) (Ledger, bool) {
	books, ok := e.cfg.Store.(limiter.Inspector)
	if !ok {
		return Ledger{}, false
	}
	now := e.cfg.Now()
	out := Ledger{At: now, Accounts: []LedgerAccount{}}
	wanted := func(a limiter.Account) bool {
		name := e.names.of(a)
		return (rule == "" || name.rule == rule) && (key == "" || name.key == key || name.key == policy.Redact(key))
	}
	for _, s := range books.Inspect(now, wanted) {
		out.Accounts = append(out.Accounts, e.ledgerAccount(&s))
	}
	slices.SortFunc(out.Accounts, func(a, b LedgerAccount) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Window, b.Window), cmp.Compare(a.Key, b.Key))
	})
	return out, true
}

func (e *engine) ledgerAccount(s *limiter.AccountState) LedgerAccount {
	name := e.names.of(s.Account)
	limit := s.Account.Limit.Capacity()
	if s.Account.Limit.Kind == limiter.RequestBucket {
		limit /= limiter.Micro
	}
	out := LedgerAccount{
		Policy: name.policy, Rule: name.rule, Window: name.window, Key: name.key, Shadow: name.shadow, Unit: "tokens",
		Limit: limit, Remaining: s.Remaining, Level: s.Level, Open: s.Open, Amounts: amounts(s.Ledger),
	}
	switch s.Account.Limit.Kind {
	case limiter.RequestBucket:
		out.Unit = "micro-requests"
	case limiter.Concurrency:
		out.Unit = "slots"
	case limiter.TokenBucket, limiter.Window:
	}
	for _, w := range s.Windows {
		out.Windows = append(out.Windows, LedgerWindow{Start: w.Start, End: w.End, Used: w.Used, Open: w.Open, Amounts: amounts(w.Ledger)})
	}
	return out
}

// serveLedger answers GET /debug/ledger?rule=&key=.
func (e *engine) serveLedger(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	books, ok := e.ledger(q.Get("rule"), q.Get("key"))
	if !ok {
		http.Error(w, "the store does not show its books", http.StatusNotImplemented)
		return
	}
	writeJSON(w, http.StatusOK, books)
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "encoding the answer failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
