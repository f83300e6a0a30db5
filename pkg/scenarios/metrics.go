package scenarios

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// metrics is one scrape: every series with its value. A histogram is there as the
// series of its buckets, its sum and its count.
type metrics model.Vector

// adminTimeout bounds a request to a target's metrics or ledger.
const adminTimeout = 30 * time.Second

// fetch reads one page of the target's admin side.
func (w *world) fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := w.client.Admin().RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading %s: status %d: %s", url, resp.StatusCode, shorten(strings.TrimSpace(string(body)), 200))
	}
	return body, nil
}

// metricsURL is empty where the target has no metrics.
func (w *world) metricsURL() string {
	if m := w.cell.Target.Metrics; m != nil && m.URL != "" {
		return m.URL
	}
	if admin := w.conn.AdminURL(); admin != "" {
		return admin + "/metrics"
	}
	return ""
}

// scrapeNow reads the target's metrics. An empty url means the target's own.
func (w *world) scrapeNow(ctx context.Context, url string) (metrics, error) {
	if url == "" {
		url = w.metricsURL()
	}
	if url == "" {
		return nil, errors.New("the target has no metrics")
	}
	body, err := w.fetch(ctx, url)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return nil, fmt.Errorf("reading the metrics at %s: %w", url, err)
	}
	samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, slices.Collect(maps.Values(families))...)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics at %s: %w", url, err)
	}
	return metrics(samples), nil
}

// firstScrape keeps what the counters said at the start, if any step will ask.
func (w *world) firstScrape(ctx context.Context) error {
	if !usesAnywhere(w.cell.Steps, "delta") || w.metricsURL() == "" {
		return nil
	}
	var err error
	if w.baseline, err = w.scrapeNow(ctx, ""); err != nil {
		return fmt.Errorf("reading the metrics before the first step: %w", err)
	}
	return nil
}

func usesAnywhere(steps []suite.Step, name string) bool {
	found := false
	eachStep(steps, func(step *suite.Step) {
		uses := func(e *suite.Expression) { found = found || e != nil && e.Uses(name) }
		for _, list := range [][]*suite.Expression{step.Check, step.AbortIf} {
			for _, e := range list {
				uses(e)
			}
		}
		for _, e := range step.Save {
			uses(e)
		}
		uses(step.If)
		if step.Drain != nil {
			uses(step.Drain.Until)
		}
		if step.Eventually != nil {
			uses(step.Eventually.Unless)
		}
	})
	return found
}

// delta is by how much what a selector selects has grown since the scenario began.
// A series that was not there then began at zero.
func (w *world) delta(ctx context.Context, selector string) (float64, error) {
	name, labels, err := parseSelector(selector)
	if err != nil {
		return 0, err
	}
	w.settled()
	now, err := w.scrapeNow(ctx, "")
	if err != nil {
		return 0, err
	}
	if !now.has(name) && !w.baseline.has(name) {
		return 0, fmt.Errorf("the target has no metric %q; nearest: %s", name, nearestMetric(name, now))
	}
	return now.sum(name, labels) - w.baseline.sum(name, labels), nil
}

func nearestMetric(name string, all metrics) string {
	best := "none"
	longest := 0
	for _, sample := range all {
		other := string(sample.Metric[model.MetricNameLabel])
		if n := commonPrefix([]byte(name), []byte(other)); n > longest {
			best, longest = other, n
		}
	}
	return best
}

func (m metrics) has(name string) bool {
	return slices.ContainsFunc(m, func(s *model.Sample) bool { return string(s.Metric[model.MetricNameLabel]) == name })
}

// sum adds up the series of a name whose labels match.
func (m metrics) sum(name string, labels map[string]string) float64 {
	var total float64
	for _, sample := range m {
		if string(sample.Metric[model.MetricNameLabel]) == name && matches(sample, labels) {
			total += float64(sample.Value)
		}
	}
	return total
}

func matches(sample *model.Sample, labels map[string]string) bool {
	for name, value := range labels {
		if string(sample.Metric[model.LabelName(name)]) != value {
			return false
		}
	}
	return true
}

// parseSelector reads name{label='x',other="y"}.
func parseSelector(selector string) (name string, labels map[string]string, err error) {
	name, rest, braces := strings.Cut(strings.TrimSpace(selector), "{")
	name = strings.TrimSpace(name)
	if name == "" {
		return "", nil, fmt.Errorf("%q is not a metric selector: it has no name", selector)
	}
	if !braces {
		return name, nil, nil
	}
	inside, tail, closed := strings.Cut(rest, "}")
	if !closed || strings.TrimSpace(tail) != "" {
		return "", nil, fmt.Errorf("%q is not a metric selector: the brace is not closed at its end", selector)
	}
	labels = map[string]string{}
	for pair := range strings.SplitSeq(inside, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		label, value, ok := strings.Cut(pair, "=")
		value = strings.TrimSpace(value)
		if !ok || len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '\'' && value[0] != '"' {
			return "", nil, fmt.Errorf("%q is not a metric selector: expected label='value', found %q", selector, strings.TrimSpace(pair))
		}
		labels[strings.TrimSpace(label)] = value[1 : len(value)-1]
	}
	return name, labels, nil
}

// scrape is the step that takes a snapshot: it makes sure that the metrics can be
// read, and dates them. Later deltas still count from the scenario's start.
func (l *lane) scrape(ctx context.Context, run *stepRun) error {
	l.w.settled()
	_, err := l.w.scrapeNow(ctx, run.bound.Scrape.URL)
	return err
}
