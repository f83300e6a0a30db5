package llmapi

// event is what one event of a stream, or one whole document, says. It is filled by a dialect's reader and counts only
// if the whole event was valid: see meter.take.
type event struct {
	jsonReader
	// name is the event's name on the wire, outside of its data: the SSE field "event", a frame's :event-type.
	name string
	// document tells that this is a whole body and not an event of a stream.
	document bool

	counts counts
	apart  apart // for the dialects that count cached input apart and merge field by field
	// provisional tells that the usage of this event is a beginning that another event must complete.
	provisional bool
	// content are the content bytes of this event; repeated those of the complete response, where an event repeats it.
	content, repeated int64
	// terminal tells that the stream is complete with this event; failed that it is an error.
	terminal, failed bool
	// trailing tells that the stream is complete with this event once every choice has finished.
	trailing bool
	// choices tells which choices (candidates) occurred in this event and which of them finished.
	choices, finished choiceSet
	// block is the index of the content block that this event opens or closes, for dialects that have them.
	opens, closes bool
	block         int64
}

// addText counts a string of content.
func (e *event) addText() {
	n, _ := e.text()
	e.content += n
}

// addCompact counts a value of content that is not a string: the arguments of a tool call.
func (e *event) addCompact() {
	if !e.isNull() {
		e.content += e.compact()
	}
}

// readError reads an error member: null is none.
func (e *event) readError() {
	if e.isNull() {
		return
	}
	e.failed = true
	e.skip()
}

// choiceSet is a set of indices of choices. Beyond 128, which is the most that an API allows, it only knows that there
// are more, and is then never complete.
type choiceSet struct {
	low, high uint64
	beyond    bool
}

func (s *choiceSet) add(index int64) {
	switch {
	case index < 64:
		s.low |= 1 << index
	case index < 128:
		s.high |= 1 << (index - 64)
	default:
		s.beyond = true
	}
}

func (s *choiceSet) merge(t choiceSet) {
	s.low |= t.low
	s.high |= t.high
	s.beyond = s.beyond || t.beyond
}

func (s choiceSet) empty() bool { return s == choiceSet{} }

// covers tells whether s has every index of t.
func (s choiceSet) covers(t choiceSet) bool {
	return !t.beyond && t.low&^s.low == 0 && t.high&^s.high == 0
}
