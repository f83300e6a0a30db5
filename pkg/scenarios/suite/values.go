package suite

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Percent is a share: `5%` or 0.05 in the file, 0.05 here.
type Percent float64

// Range is `0.25..0.5`; a single number is both ends.
type Range struct{ Min, Max float64 }

// Rate is a number of events per time: `20/s`, `0.5/s`, `90/m`.
type Rate struct {
	Count float64
	Per   time.Duration
}

// PerSecond is the rate in events per second.
func (r Rate) PerSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return r.Count / r.Per.Seconds()
}

// String writes the rate as the language does.
func (r Rate) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h", 24 * time.Hour: "d"}[r.Per]
	return strconv.FormatFloat(r.Count, 'g', -1, 64) + "/" + unit
}

// Ramp is a rate that moves linearly from one value to another; a constant has
// From equal to To.
type Ramp struct{ From, To Rate }

var (
	durationPattern = regexp.MustCompile(`^(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d))+$`)
	durationPart    = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)`)
	ratePattern     = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)/(s|m|h|d)$`)
	percentPattern  = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)%$`)
	decimalPattern  = regexp.MustCompile(`^[0-9]+(?:\.[0-9]+)?$`)
)

var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

// ParseDuration reads a literal such as 5ms, 1.5s, 1h30m or 2d. There are no
// negative durations, and no number without a unit but 0.
func ParseDuration(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	if !durationPattern.MatchString(text) {
		return 0, fmt.Errorf("%q is not a duration (a number and a unit: ns us ms s m h d, as in 5ms or 1h30m)", text)
	}
	var sum float64
	var exact time.Duration
	for _, part := range durationPart.FindAllStringSubmatch(text, -1) {
		unit := durationUnits[part[2]]
		if whole, err := strconv.ParseInt(part[1], 10, 64); err == nil && whole <= math.MaxInt64/int64(unit) {
			exact += time.Duration(whole) * unit
			sum += float64(whole) * float64(unit)
			continue
		}
		number, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration: %w", text, err)
		}
		exact += time.Duration(math.Round(number * float64(unit)))
		sum += number * float64(unit)
	}
	if sum >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too long a duration (at most about 292 years)", text)
	}
	return exact, nil
}

// FormatDuration writes a duration as the language reads it: 5ms, 1h30m, 24h.
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// ParseRate reads a literal such as 20/s.
func ParseRate(text string) (Rate, error) {
	parts := ratePattern.FindStringSubmatch(text)
	if parts == nil {
		return Rate{}, fmt.Errorf("%q is not a rate (a number per unit: 20/s, 90/m, 5/h)", text)
	}
	count, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return Rate{}, fmt.Errorf("%q is not a rate: %w", text, err)
	}
	return Rate{Count: count, Per: durationUnits[parts[2]]}, nil
}

// ParseRamp reads 20/s or 20/s..400/s.
func ParseRamp(text string) (Ramp, error) {
	from, to, ramps := strings.Cut(text, "..")
	first, err := ParseRate(from)
	if err != nil {
		return Ramp{}, err
	}
	if !ramps {
		return Ramp{From: first, To: first}, nil
	}
	last, err := ParseRate(to)
	if err != nil {
		return Ramp{}, err
	}
	return Ramp{From: first, To: last}, nil
}

// ParsePercent reads 5%, 0.5% or a fraction such as 0.05.
func ParsePercent(text string) (Percent, error) {
	if parts := percentPattern.FindStringSubmatch(text); parts != nil {
		number, err := strconv.ParseFloat(parts[1], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a share: %w", text, err)
		}
		return Percent(number / 100), nil
	}
	if !decimalPattern.MatchString(text) {
		return 0, fmt.Errorf("%q is not a share (5%% or 0.05)", text)
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a share: %w", text, err)
	}
	return Percent(number), nil
}

// ParseRange reads 0.25..0.5, or one number for both ends.
func ParseRange(text string) (Range, error) {
	low, high, two := strings.Cut(text, "..")
	if !two {
		high = low
	}
	if !decimalPattern.MatchString(low) || !decimalPattern.MatchString(high) {
		return Range{}, fmt.Errorf("%q is not a range (0.25..0.5)", text)
	}
	least, err := strconv.ParseFloat(low, 64)
	if err != nil {
		return Range{}, fmt.Errorf("%q is not a range: %w", text, err)
	}
	most, err := strconv.ParseFloat(high, 64)
	if err != nil {
		return Range{}, fmt.Errorf("%q is not a range: %w", text, err)
	}
	if least > most {
		return Range{}, fmt.Errorf("%q is not a range: %s is above %s", text, low, high)
	}
	return Range{Min: least, Max: most}, nil
}
