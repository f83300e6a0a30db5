package mockllm

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode/utf8"
)

// split cuts segments into writes. Only the first piece waits, only the piece with the usage's last byte carries it.
func split(word string, segments []segment, r *rand.Rand) []segment {
	var cuts func(s *segment) []int // ascending offsets inside data
	switch {
	case word == "" || word == "event":
		return segments
	case word == "1byte":
		cuts = func(s *segment) []int { return everyNth(len(s.data), 1) }
	case strings.HasPrefix(word, "n:"):
		n, err := strconv.Atoi(word[2:])
		if err != nil || n < 1 {
			return segments
		}
		cuts = func(s *segment) []int { return everyNth(len(s.data), n) }
	case word == "random":
		cuts = func(s *segment) []int { return randomCuts(len(s.data), r) }
	case word == "at:usage":
		cuts = func(s *segment) []int {
			if s.usage.empty() {
				return nil
			}
			return []int{s.usage.from, (s.usage.from + s.usage.to) / 2, s.usage.to}
		}
	case word == "at:crlf":
		cuts = func(s *segment) []int { return between(s.data, "\r\n", 1) }
	case word == "at:escape":
		cuts = func(s *segment) []int { return between(s.data, `\u`, 4) }
	case word == "at:rune":
		cuts = func(s *segment) []int { return insideRunes(s.data) }
	default:
		return segments
	}
	out := make([]segment, 0, 2*len(segments))
	for i := range segments {
		out = appendCut(out, segments[i], cuts(&segments[i]))
	}
	return out
}

func appendCut(out []segment, s segment, cuts []int) []segment {
	from := 0
	for _, to := range append(cuts, len(s.data)) {
		if to <= from || to > len(s.data) {
			continue
		}
		piece := segment{data: s.data[from:to], asked: s.asked.clip(from, to), index: s.index}
		if from == 0 {
			piece.wait = s.wait
		}
		if to == len(s.data) {
			piece.content = s.content
		}
		if s.usage.to > from && s.usage.to <= to {
			piece.usage = span{max(0, s.usage.from-from), s.usage.to - from}
		}
		out = append(out, piece)
		from = to
	}
	if len(s.data) == 0 {
		out = append(out, s)
	}
	return out
}

func everyNth(length, n int) []int {
	var cuts []int
	for at := n; at < length; at += n {
		cuts = append(cuts, at)
	}
	return cuts
}

func randomCuts(length int, r *rand.Rand) []int {
	var cuts []int
	for at := 1 + r.IntN(32); at < length; at += 1 + r.IntN(64) {
		cuts = append(cuts, at)
	}
	return cuts
}

// between cuts behind the first `inside` bytes of every place where text occurs.
func between(data []byte, text string, inside int) []int {
	var cuts []int
	for from := 0; ; {
		at := bytes.Index(data[from:], []byte(text))
		if at < 0 {
			return cuts
		}
		cuts = append(cuts, from+at+inside)
		from += at + len(text)
	}
}

func insideRunes(data []byte) []int {
	var cuts []int
	for at := 0; at < len(data); {
		_, size := utf8.DecodeRune(data[at:])
		if size > 1 {
			cuts = append(cuts, at+1)
		}
		at += size
	}
	return cuts
}
