package llmapi

import "bytes"

// Bounds of numbers that count (semantics 1 and 5).
const (
	maxAllowance = 1 << 31 // a larger output allowance counts as this
	maxExact     = 1 << 53 // a larger usage is not believed; a product of allowance and choices saturates here
	saturated    = 1 << 62 // what wholeNumber gives for everything from here on
)

// wholeNumber returns the value of a JSON number that is mathematically a non-negative integer, however it is written
// (1000, 1000.0, 1e3), without going through a float. Values from 2^62 on are 2^62.
func wholeNumber(raw []byte) (int64, bool) {
	if n, ok := plainDigits(raw); ok {
		return n, true
	}
	negative := len(raw) > 0 && raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	mantissa, exponent := raw, 0
	if i := bytes.IndexAny(raw, "eE"); i >= 0 {
		mantissa, exponent = raw[:i], exponentOf(raw[i+1:])
	}
	whole, fraction := mantissa, []byte(nil)
	if i := bytes.IndexByte(mantissa, '.'); i >= 0 {
		whole, fraction = mantissa[:i], bytes.TrimRight(mantissa[i+1:], "0")
	}
	// The value is digits × 10^exponent, where digits neither begins nor ends with a zero.
	digits := append(bytes.Clone(whole), fraction...)
	exponent -= len(fraction)
	trimmed := bytes.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	digits = bytes.TrimLeft(trimmed, "0")
	switch {
	case len(digits) == 0:
		return 0, true
	case negative || exponent < 0:
		return 0, false
	case len(digits)+exponent > 18: // 2^62 has 19 digits: from 10^18 on, saturating a little early harms nobody
		return saturated, true
	}
	n, _ := plainDigits(digits)
	for range exponent {
		n *= 10
	}
	return n, true
}

// plainDigits returns the value of up to 18 digits and nothing else.
func plainDigits(raw []byte) (int64, bool) {
	if len(raw) == 0 || len(raw) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// exponentOf returns the exponent of a number, saturated far beyond the length of any document.
func exponentOf(raw []byte) int {
	negative := raw[0] == '-'
	n := 0
	for _, c := range bytes.TrimLeft(raw, "+-") {
		if n = n*10 + int(c-'0'); n > 1<<40 {
			n = 1 << 40
			break
		}
	}
	if negative {
		return -n
	}
	return n
}

// ceil4 is the tokens of a number of bytes: four bytes are a token.
func ceil4(bytes int64) int64 { return (bytes + 3) / 4 }
