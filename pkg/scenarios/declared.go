package scenarios

import (
	"encoding/json"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// declared is what the judge may assume of the target.
func (w *world) declared() judge.Target {
	t := w.cell.Target
	if t.Serve != nil {
		target := judge.Bundled()
		if !w.cell.Virtual {
			target.SettleDelay = int64(max(w.settle(), realSettle))
		}
		return target
	}
	target := judge.Target{
		Accounting: accounting(t.Accounting), DebtFloor: judge.DebtFloor(known(t.DebtFloor)),
		SettleDelay: int64(w.settle()), TolerancePPM: int64(float64(t.Tolerance) * 1e6),
		UsedAccounts: w.payers == nil || w.payers.shared(),
		ClockError:   int64(w.clockError),
		Ledger:       t.Ledger != nil && t.Ledger.URL != "", Lease: int64(t.Lease),
	}
	if d := t.Disconnect; d != nil {
		target.Disconnect, target.Drain = judge.DisconnectDrain, int64(d.Drain)
		if d.Cancel {
			target.Disconnect = judge.DisconnectCancel
		}
	}
	if f := w.suite.Program.Features; f != nil {
		for _, name := range f.Supported {
			switch name {
			case "retry-after":
				target.Claims.RetryAfter = true
			case "remaining-header":
				target.Claims.RateHeaders = true
			case "reset-header":
				target.Claims.Reset = true
			case "exact-retry-after":
				target.Claims.ExactRetryAfter = true
			}
		}
	}
	return target
}

// realSettle is what an in-process target may need in real time to settle after
// the client has its last byte, with room for a busy machine.
const realSettle = 200e6

// known maps the word for "nobody knows" to the judge's.
func known(word string) string {
	if word == "unknown" {
		return ""
	}
	return word
}

func accounting(word string) judge.Accounting { return judge.Accounting(known(word)) }

func (w *world) estimator() judge.Estimator {
	t := w.cell.Target
	if t.Serve != nil {
		return judge.Estimator{Known: true}
	}
	if t.Estimator == nil {
		return judge.Estimator{}
	}
	switch t.Estimator.Kind {
	case suite.EstimatorKnown:
		return judge.Estimator{Known: true}
	case suite.EstimatorBounds:
		return judge.Estimator{
			PerCharMilli: judge.Between(int64(t.Estimator.PerChar.Min*1000), int64(t.Estimator.PerChar.Max*1000)),
			PerMessage:   judge.Between(int64(t.Estimator.PerMessage.Min), int64(t.Estimator.PerMessage.Max)),
		}
	}
	return judge.Estimator{}
}

// declaredLimits is the target.limits block as a document; nil if there is none.
func (w *world) declaredLimits() []byte {
	type limit struct {
		Name      string           `json:"name"`
		Dimension string           `json:"dimension"`
		Amount    int64            `json:"amount"`
		Per       string           `json:"per,omitempty"`
		Burst     int64            `json:"burst,omitempty"`
		Window    string           `json:"window,omitempty"`
		Weights   map[string]int64 `json:"weights,omitempty"`
	}
	var limits []limit
	for _, l := range w.cell.Target.Limits {
		limits = append(limits, limit{
			Name: l.Name, Dimension: l.Dimension, Amount: l.Amount, Per: suite.FormatDuration(l.Per), Burst: l.Burst,
			Window: l.Window, Weights: l.Weights,
		})
	}
	if limits == nil {
		return nil
	}
	document, err := json.Marshal(map[string]any{"limits": limits})
	if err != nil {
		return nil
	}
	return document
}
