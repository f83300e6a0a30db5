package proxy

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// metrics are the counters of one proxy, in a registry of its own. No label carries a client's key. Amounts of tokens are
// those of enforced rules, and of a request's largest token hold: a request that is bound by a minute and a day counts once.
type metrics struct {
	registry *prometheus.Registry

	decisions   *prometheus.CounterVec
	allowed     prometheus.Counter // of decisions, the one that most requests take
	consumed    *prometheus.CounterVec
	held, spent prometheus.Counter // of consumed: as reserved, and as charged
	unused      prometheus.Counter
	accuracy    prometheus.Histogram
	remaining   *prometheus.GaugeVec
	overage     prometheus.Counter
	writtenOff  prometheus.Counter
	missing     *prometheus.CounterVec
	duplicates  prometheus.Counter
	failures    *prometheus.CounterVec
	expired     prometheus.Counter
	hintIgnored prometheus.Counter
	overhead    prometheus.Histogram
}

func newMetrics(store limiter.Store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decisions: counters("decisions_total", "Requests by decision. The reason of what is allowed is empty; "+
			"result shadow_reject counts what rules in shadow mode would have rejected.", "result", "reason"),
		consumed:    counters("tokens_consumed_total", "Tokens of admitted requests, as reserved and as charged.", "type"),
		unused:      counter("token_reservation_unused_total", "Tokens that were reserved and given back."),
		accuracy:    histogram("token_estimation_accuracy_ratio", "Charged tokens divided by reserved ones.", []float64{.01, .02, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1, 1.2, 1.5, 2, 5}),
		remaining:   gauges("tokens_remaining", "Tokens left to the account that was decided last.", "window"),
		overage:     counter("tokens_overage_total", "Tokens that were charged beyond the reservation."),
		writtenOff:  counter("tokens_written_off_total", "Tokens of debt below the floor, which nobody pays."),
		missing:     counters("usage_missing_total", "Responses of admitted token requests that gave no usage, by cause.", "why"),
		duplicates:  counter("settle_duplicate_total", "Settlements of reservations that were settled before."),
		failures:    counters("store_failures_total", "Calls that the store did not carry out.", "call"),
		expired:     counter("reservations_expired_total", "Reservations that were settled by the end of their lease."),
		hintIgnored: counter("estimate_hint_ignored_total", "Values of X-Token-Estimate that are no integer from 1 to 2^31."),
		overhead:    histogram("proxy_overhead_seconds", "Time from the whole request to its sending upstream.", []float64{5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 1e-1, 1}),
	}
	m.registry.MustRegister(m.decisions, m.consumed, m.unused, m.accuracy, m.remaining, m.overage, m.writtenOff, m.missing, m.duplicates,
		m.failures, m.expired, m.hintIgnored, m.overhead)
	// Series that begin at zero can be told from ones that nobody counts.
	m.allowed = m.decisions.WithLabelValues(Allow, "")
	m.held, m.spent = m.consumed.WithLabelValues("reserved"), m.consumed.WithLabelValues("actual")
	if books, ok := store.(limiter.Inspector); ok {
		m.registry.MustRegister(
			prometheus.NewGaugeFunc(options("reservations_active", "Reservations that are not settled."), func() float64 { return float64(books.Stats().Open) }),
			prometheus.NewGaugeFunc(options("limiter_accounts", "Accounts that the store keeps."), func() float64 { return float64(books.Stats().Accounts) }))
	}
	return m
}

func options(name, help string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{Namespace: "llmlimit", Name: name, Help: help}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts(options(name, help)))
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts(options(name, help)), labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(options(name, help), labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "llmlimit", Name: name, Help: help, Buckets: buckets})
}

// handler serves the metrics in Prometheus' text form.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// decided counts one request.
func (m *metrics) decided(a *admission, overhead time.Duration) {
	if a.refusal != nil {
		m.decisions.WithLabelValues(Reject, a.refusal.Reason).Inc()
	} else {
		m.allowed.Inc()
	}
	if a.shadow.rejected != nil {
		m.decisions.WithLabelValues("shadow_reject", a.shadow.rejected.Reason).Inc()
	}
	if a.enforced.set.HintIgnored || a.shadow.set.HintIgnored {
		m.hintIgnored.Inc()
	}
	m.overhead.Observe(overhead.Seconds())
	for i := range a.enforced.decision.Holds {
		if countsTokens(&a.enforced, i) {
			m.remaining.WithLabelValues(a.enforced.set.Bound[i].Window).Set(float64(a.enforced.decision.Holds[i].Remaining))
		}
	}
}

// reserved counts an admission.
func (m *metrics) reserved(r *reservation) {
	if i := r.largest(); i >= 0 && !r.shadow {
		m.held.Add(float64(r.set.Holds[i].Cost))
	}
}

// settled counts a settlement.
func (m *metrics) settled(r *reservation, bill *Bill, s *limiter.Settlement) {
	if s.Duplicate {
		m.duplicates.Inc()
		return
	}
	i := r.largest()
	if i < 0 || r.shadow {
		return
	}
	m.spent.Add(float64(bill.Actual[i]))
	if cost := r.set.Holds[i].Cost; cost > 0 {
		m.accuracy.Observe(float64(bill.Actual[i]) / float64(cost))
	}
	if holds := s.Holds(); i < len(holds) {
		m.unused.Add(float64(holds[i].Refunded))
		m.overage.Add(float64(holds[i].Debited))
		m.writtenOff.Add(float64(holds[i].WrittenOff.Tokens) + float64(holds[i].WrittenOff.Micro)/limiter.Micro)
	}
	if !bill.Reading.Reported && bill.Status >= 200 && bill.Status < 300 {
		m.missing.WithLabelValues(string(orDefault(bill.Reading.Why, llmapi.MissingAbsent))).Inc()
	}
}

// failed counts a call that the store did not carry out: reserve, settle or sweep.
func (m *metrics) failed(call string) { m.failures.WithLabelValues(call).Inc() }

// swept counts what a sweep of the store settled.
func (m *metrics) swept(s limiter.Swept) { m.expired.Add(float64(s.Expired)) }
