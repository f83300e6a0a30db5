package judge

import (
	"fmt"
	"strconv"
	"strings"
)

const million = 1_000_000

// decimal is a number with at most six decimals, in millionths.
type decimal int64

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

func parseDecimal(s string) (decimal, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" || len(whole) > 12 || len(frac) > 6 {
		return 0, false
	}
	v, err := strconv.ParseUint(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 62)
	return decimal(v), err == nil
}
