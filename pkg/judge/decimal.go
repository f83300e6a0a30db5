package judge

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

const million = 1_000_000

// decimal is a number with at most six decimals, in millionths.
type decimal int64

// asWritten is a value of a match: text, or a number or a flag as it stands in the
// file. 1.0 is a version and not a 1.
type asWritten string

// UnmarshalYAML undoes quotes and blocks, and leaves everything else alone.
func (w *asWritten) UnmarshalYAML(b []byte) error {
	var v any
	if err := yaml.Unmarshal(b, &v); err != nil {
		return err
	}
	text, ok := v.(string)
	if !ok {
		text = strings.TrimSpace(string(b))
	}
	*w = asWritten(text)
	return nil
}

func (d decimal) whole() bool { return d%million == 0 }

// UnmarshalYAML reads the digits as they stand, so that no float comes near them.
func (d *decimal) UnmarshalYAML(b []byte) error {
	v, ok := parseDecimal(strings.TrimSpace(string(b)))
	if !ok {
		return fmt.Errorf("found %q, expected a number with at most six decimals", b)
	}
	*d = v
	return nil
}

// mostStated is more than any limit of requests or costs allows.
const mostStated = decimal(million * million * million)

// stated is a cost that a client states in plain digits: rounded up where it has more
// decimals than count, and capped where it is more than anything allows.
func stated(s string) (decimal, bool) {
	whole, frac, point := strings.Cut(s, ".")
	if !digits(whole) || len(whole) > 1 && whole[0] == '0' || point && !digits(frac) {
		return 0, false
	}
	kept := frac[:min(len(frac), 6)]
	v, ok := parseDecimal(whole + "." + kept)
	if !ok {
		return mostStated, true
	}
	if strings.Trim(frac[len(kept):], "0") != "" {
		v++
	}
	return v, true
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func parseDecimal(s string) (decimal, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" || len(whole) > 12 || len(frac) > 6 {
		return 0, false
	}
	v, err := strconv.ParseUint(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 62)
	return decimal(v), err == nil
}
