package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
