package llmapi

// Readers of content that several dialects share.

// addParts counts content that is a string or a list of parts: their text, refusal and thinking.
func (e *event) addParts() {
	switch e.peek() {
	case '"':
		e.addText()
	case '[':
		for ok := e.array(); ok && e.more(); {
			e.addPart()
		}
	case '{':
		e.addPart()
	default:
		e.skip()
	}
}

func (e *event) addPart() {
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "text", "refusal":
			e.addText()
		case "thinking": // a string, or parts of its own
			e.addParts()
		default:
			e.skip()
		}
	}
}

// addMemberText counts one member, a string, of the object at hand.
func (e *event) addMemberText(name string) {
	for ok := e.object(); ok && e.more(); {
		if string(e.key) == name {
			e.addText()
		} else {
			e.skip()
		}
	}
}
