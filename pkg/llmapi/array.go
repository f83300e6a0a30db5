package llmapi

// arraySplitter cuts a JSON array of objects, the way Gemini streams without alt=sse, into its elements. It only finds
// where an element ends; whether it is valid JSON is seen when it is read.
type arraySplitter struct {
	limit int
	take  func(name string, data []byte)
	lose  func(why Missing)

	element  []byte
	over     bool // the element is larger than may be kept
	depth    int  // open brackets: 1 between elements
	inString bool
	escaped  bool // the last byte was a backslash in a string
	comma    bool // a comma must come before the next element
	ended    bool // the closing bracket was seen
	broken   bool
}

func (s *arraySplitter) write(p []byte) {
	for i := 0; i < len(p) && !s.broken; {
		if s.depth < 2 {
			s.between(p[i])
			if s.depth < 2 {
				i++
				continue
			}
		}
		n := s.inside(p[i:])
		s.keep(p[i : i+n])
		i += n
		if s.depth == 1 {
			s.finish()
		}
	}
}

// between takes a byte outside of elements; the bracket that opens an element only moves the depth.
func (s *arraySplitter) between(c byte) {
	switch {
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
	case c == '[' && s.depth == 0 && !s.ended:
		s.depth = 1
	case c == ']' && s.depth == 1:
		s.depth, s.ended = 0, true
	case c == ',' && s.comma:
		s.comma = false
	case c == '{' && s.depth == 1 && !s.comma:
		s.depth, s.comma = 2, true
	default:
		s.broken = true
		s.lose(MissingUnreadable)
	}
}

// inside returns how many bytes of p belong to the element; at its end the depth is 1.
func (s *arraySplitter) inside(p []byte) int {
	first := len(s.element) == 0 && !s.over // its opening bracket is counted already
	for i, c := range p {
		switch {
		case s.escaped:
			s.escaped = false
		case s.inString:
			s.escaped = c == '\\'
			s.inString = c != '"'
		case c == '"':
			s.inString = true
		case first && i == 0:
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth--; s.depth == 1 {
				return i + 1
			}
		}
	}
	return len(p)
}

func (s *arraySplitter) keep(p []byte) {
	if s.over || len(s.element)+len(p) > s.limit {
		s.element, s.over = nil, true
		return
	}
	s.element = append(s.element, p...)
}

func (s *arraySplitter) finish() {
	if s.over {
		s.lose(MissingTooLarge)
	} else {
		s.take("", s.element)
	}
	s.element, s.over = trimmed(s.element), false
}

// close tells whether the array was closed, with nothing behind it.
func (s *arraySplitter) close() bool { return s.ended && !s.broken }
