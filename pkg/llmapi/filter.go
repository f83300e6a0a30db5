package llmapi

// EventFilter takes whole events out of a stream of server-sent events and passes every other byte as it is. An event
// is held until its blank line; comments are not held. It is not safe for concurrent use.
type EventFilter struct {
	drop func(data []byte) bool
}

// NewEventFilter returns a filter that takes out each event whose data drop recognises.
func NewEventFilter(drop func(data []byte) bool) *EventFilter { return &EventFilter{drop: drop} }
