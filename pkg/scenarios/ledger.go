package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// ledgerAccount is one line of the target's own account.
type ledgerAccount struct {
	Policy      string `json:"policy"`
	Rule        string `json:"rule"`
	Window      string `json:"window"`
	Key         string `json:"key"`
	Unit        string `json:"unit"` // tokens, or what else it counts
	Shadow      bool   `json:"shadow"`
	Reserved    int64  `json:"reserved"`
	Actual      int64  `json:"actual"`
	Refunded    int64  `json:"refunded"`
	Debited     int64  `json:"debited"`
	WrittenOff  int64  `json:"written_off"`
	Outstanding int64  `json:"outstanding"`
	// Windows are the periods of an account that has them; the amounts above are
	// those of the present one.
	Windows []ledgerWindow `json:"windows"`
}

type ledgerWindow struct {
	Start       time.Time `json:"start"`
	End         time.Time `json:"end"`
	Reserved    int64     `json:"reserved"`
	Actual      int64     `json:"actual"`
	Refunded    int64     `json:"refunded"`
	Debited     int64     `json:"debited"`
	WrittenOff  int64     `json:"written_off"`
	Outstanding int64     `json:"outstanding"`
}

func (w *world) ledgerURL() string {
	if l := w.cell.Target.Ledger; l != nil && l.URL != "" {
		return l.URL
	}
	if admin := w.conn.AdminURL(); admin != "" {
		return admin + "/debug/ledger"
	}
	return ""
}

// readLedger asks the target for its own account and keeps the answer for the plot.
func (w *world) readLedger(ctx context.Context) ([]ledgerAccount, error) {
	url := w.ledgerURL()
	if url == "" {
		return nil, errors.New("the target has none")
	}
	w.settled()
	body, err := w.fetch(ctx, url)
	if err != nil {
		return nil, err
	}
	accounts, err := parseLedger(body)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger at %s: %w", url, err)
	}
	accounts = w.own(accounts)
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Since(w.start)
	for _, a := range accounts {
		point := LedgerPoint{
			At: at, Rule: a.Rule, Window: a.Window, Key: a.Key, Reserved: a.Reserved, Actual: a.Actual,
			Refunded: a.Refunded, Debited: a.Debited, WrittenOff: a.WrittenOff, Outstanding: a.Outstanding,
		}
		w.result.Ledgers = append(w.result.Ledgers, point)
	}
	return accounts, nil
}

// own are the accounts of this cell's clients: a target by URL has those of other
// cells too, and of whoever else uses it.
func (w *world) own(accounts []ledgerAccount) []ledgerAccount {
	if w.payers == nil || w.payers.common.who == "" {
		return accounts
	}
	known := map[string]bool{}
	for who := range w.clients() {
		known[who], known["sha256:"+digestOf([]byte(who))[:12]] = true, true
	}
	return slices.DeleteFunc(accounts, func(a ledgerAccount) bool { return !known[a.Key] })
}

// parseLedger reads a list of accounts, a list under "accounts", or one account.
func parseLedger(body []byte) ([]ledgerAccount, error) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) > 0 && trimmed[0] == '[' {
		var list []ledgerAccount
		err := json.Unmarshal(trimmed, &list)
		return list, err
	}
	var page struct {
		Accounts *[]ledgerAccount `json:"accounts"`
		ledgerAccount
	}
	if err := json.Unmarshal(trimmed, &page); err != nil {
		return nil, err
	}
	if page.Accounts != nil {
		return *page.Accounts, nil
	}
	return []ledgerAccount{page.ledgerAccount}, nil
}

func (a *ledgerAccount) addTo(l *suite.Ledger) {
	l.Reserved += a.Reserved
	l.Actual += a.Actual
	l.Refunded += a.Refunded
	l.Debited += a.Debited
	l.WrittenOff += a.WrittenOff
	l.Outstanding += a.Outstanding
}

// onlyAccount is the account of the only rule and window that count tokens, all
// keys together. Before the first request there is none: everything is zero.
func onlyAccount(accounts []ledgerAccount) (*suite.Ledger, error) {
	var names []string
	sum := &suite.Ledger{}
	for i := range accounts {
		a := &accounts[i]
		if !a.countsTokens() {
			continue
		}
		if name := a.Rule + "/" + a.Window; !slices.Contains(names, name) {
			names = append(names, name)
		}
		a.addTo(sum)
	}
	if len(names) > 1 {
		return nil, fmt.Errorf("several accounts bind (%s); use ledger_of(rule, window)", strings.Join(names, ", "))
	}
	return sum, nil
}

func (a *ledgerAccount) countsTokens() bool { return !a.Shadow && (a.Unit == "" || a.Unit == "tokens") }

// accountOf sums the accounts of one rule and window over all keys.
func accountOf(accounts []ledgerAccount, rule, window string) (*suite.Ledger, error) {
	sum := &suite.Ledger{}
	var names []string
	found := false
	for i := range accounts {
		a := &accounts[i]
		if a.Rule == rule && (window == "" || a.Window == window) {
			a.addTo(sum)
			found = true
		}
		if name := fmt.Sprintf("(%q, %q)", a.Rule, a.Window); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if !found && len(accounts) > 0 {
		return nil, fmt.Errorf("the ledger has no account (%q, %q); it has %s", rule, window, strings.Join(names, ", "))
	}
	return sum, nil
}

// ledgerEntries gives the judge those accounts of the ledger whose limit and key it
// knows from the requests.
func ledgerEntries(accounts []ledgerAccount, h *judge.History) []judge.LedgerEntry {
	keys := shownKeys(h)
	var entries []judge.LedgerEntry
	at := time.Now().UnixNano()
	for i := range accounts {
		a := &accounts[i]
		id := a.limitID(h.Header.Limits)
		if id == "" || !a.countsTokens() {
			continue
		}
		if key, known := keys[a.Key]; known {
			a.Key = key
		}
		whole, all := a.whole(h)
		if all {
			a = &whole
			entries = append(entries, judge.LedgerEntry{
				At: at, Limit: id, Key: a.Key, Reserved: a.Reserved, Actual: a.Actual, Refunded: a.Refunded,
				Debited: a.Debited, WrittenOff: a.WrittenOff, Outstanding: a.Outstanding,
			})
		}
		for _, window := range a.Windows {
			entries = append(entries, judge.LedgerEntry{
				At: at, Limit: id, Key: a.Key, Window: window.Start.UnixNano(), Reserved: window.Reserved,
				Actual: window.Actual, Refunded: window.Refunded, Debited: window.Debited,
				WrittenOff: window.WrittenOff, Outstanding: window.Outstanding,
			})
		}
	}
	return entries
}

// whole is the account summed over its windows, and whether that is all there ever
// was: a target may forget the windows before the last one.
func (a *ledgerAccount) whole(h *judge.History) (sum ledgerAccount, all bool) {
	sum = *a
	if len(a.Windows) == 0 {
		return sum, true
	}
	sum.Reserved, sum.Actual, sum.Refunded, sum.Debited, sum.WrittenOff, sum.Outstanding = 0, 0, 0, 0, 0, 0
	for _, window := range a.Windows {
		sum.Reserved += window.Reserved
		sum.Actual += window.Actual
		sum.Refunded += window.Refunded
		sum.Debited += window.Debited
		sum.WrittenOff += window.WrittenOff
		sum.Outstanding += window.Outstanding
	}
	const idle = 24 * time.Hour // an account without traffic may be dropped by then
	first := a.Windows[0]
	length := max(first.End.Sub(first.Start), 1)
	at := func(instant int64) int64 { // which window it lies in, counted from first
		offset := time.Duration(instant - first.Start.UnixNano())
		return int64((offset - (offset%length+length)%length) / length)
	}
	span := time.Duration(h.Header.End - h.Header.Start)
	return sum, span < idle && at(h.Header.End)-at(h.Header.Start) <= 1
}

// limitID finds the limit that an account belongs to, whatever the reload: policy/rule, with /day for
// the daily window of a token rule.
func (a *ledgerAccount) limitID(limits []judge.Limit) string {
	daily := a.Window == "tpd" || a.Window == "day"
	for _, limit := range limits {
		id := limit.Rule
		rule := strings.TrimSuffix(id, "/day")
		if (rule != id) == daily && (rule == a.Rule || strings.HasSuffix(rule, "/"+a.Rule) && (a.Policy == "" || rule == a.Policy+"/"+a.Rule)) {
			return limit.Rule
		}
	}
	return ""
}

// shownKeys maps a key as a ledger shows it to the key of the judge's accounts,
// which is a tuple of length-prefixed values. A ledger joins the values by commas
// and hides credentials and long ones behind a hash; which of them, it does not say.
func shownKeys(h *judge.History) map[string]string {
	shown := map[string]string{}
	for i := range h.Requests {
		for _, hold := range h.Requests[i].Holds {
			values, ok := tuple(hold.Key)
			if !ok || len(values) > 4 {
				continue
			}
			for hidden := range 1 << len(values) {
				parts := make([]string, len(values))
				for j, value := range values {
					parts[j] = keyEscapes.Replace(value)
					if hidden&(1<<j) != 0 {
						parts[j] = "sha256:" + digestOf([]byte(value))[:12]
					}
				}
				shown[strings.Join(parts, ",")] = hold.Key
			}
		}
	}
	return shown
}

var keyEscapes = strings.NewReplacer(`\`, `\\`, `,`, `\,`)

// tuple reads "3:abc1:x" as abc and x.
func tuple(key string) (values []string, ok bool) {
	for key != "" {
		length, rest, found := strings.Cut(key, ":")
		n, err := strconv.Atoi(length)
		if !found || err != nil || n < 0 || n > len(rest) {
			return nil, false
		}
		values, key = append(values, rest[:n]), rest[n:]
	}
	return values, true
}
