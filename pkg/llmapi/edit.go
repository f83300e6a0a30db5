package llmapi

import (
	"bytes"
	"strconv"
)

// edit replaces body[from:to] by text. Every byte outside of an edit stays as it was: a request is never re-serialised.
type edit struct {
	from, to int
	text     string
}

// apply returns body with the edits, which are in order and do not overlap.
func apply(body []byte, edits []edit) ([]byte, bool) {
	if len(edits) == 0 {
		return body, false
	}
	var out bytes.Buffer
	out.Grow(len(body) + 64)
	at := 0
	for _, e := range edits {
		out.Write(body[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(body[at:])
	return out.Bytes(), true
}

// insert is the edit that puts a member in front of the others of the object that the reader has just entered.
func (r *jsonReader) insert(member string) edit {
	at := r.pos
	if r.peek() != '}' {
		member += ","
	}
	return edit{from: at, to: at, text: member}
}

// replace consumes the value at hand and is the edit that replaces it.
func (r *jsonReader) replace(text string) edit {
	r.peek()
	from := r.pos
	r.skip()
	return edit{from: from, to: r.pos, text: text}
}

const askedUsage = `{"include_usage":true}`

// askUsage sets stream_options.include_usage, the same for every dialect that has it. A key given twice is set twice,
// because nobody knows which one the provider reads.
func askUsage(body []byte) ([]byte, bool) {
	r := jsonReader{data: body}
	if !r.object() {
		return body, false
	}
	edits := make([]edit, 1, 4) // the first place is for a missing stream_options, which comes first in the body
	edits[0] = r.insert(`"stream_options":` + askedUsage)
	missing := true
	for r.more() {
		if string(r.key) != "stream_options" {
			r.skip()
			continue
		}
		missing = false
		switch r.peek() {
		case '{':
			edits = append(edits, r.setTrue("include_usage")...)
		case 'n':
			edits = append(edits, r.replace(askedUsage))
		default:
			r.skip() // the provider will reject it, and should
		}
	}
	if !missing {
		edits = edits[1:]
	}
	if r.end() != nil {
		return body, false
	}
	return apply(body, edits)
}

// setTrue consumes the object at hand and gives the edits that make the named member true.
func (r *jsonReader) setTrue(name string) []edit {
	r.object()
	edits := []edit{r.insert(`"` + name + `":true`)}
	missing := true
	for r.more() {
		if string(r.key) != name {
			r.skip()
			continue
		}
		missing = false
		if e := r.replace("true"); string(r.data[e.from:e.to]) != "true" {
			edits = append(edits, e)
		}
	}
	if !missing {
		edits = edits[1:]
	}
	return edits
}

// capField is the place of an output allowance: a member, or a member of an object.
type capField struct{ object, name string }

// capFields are all places that ParseRequest reads an allowance from.
var capFields = []capField{
	{"", "max_tokens"},
	{"", "max_completion_tokens"},
	{"", "max_output_tokens"},
	{"generationConfig", "maxOutputTokens"},
	{"inferenceConfig", "maxTokens"},
}

// capOutput replaces every allowance of body that is not an integer from 1 to limit by limit; what is no number at all
// too, because some servers take -1 or "9000" for a number. If there is none, it adds the dialect's own field.
func capOutput(body []byte, limit int64, own capField) ([]byte, bool) {
	c := capper{jsonReader: jsonReader{data: body}, own: own, text: strconv.FormatInt(limit, 10), limit: limit}
	if !c.object() {
		return body, false
	}
	member := `"` + own.name + `":` + c.text
	if own.object != "" {
		member = `"` + own.object + `":{` + member + `}`
	}
	first := c.insert(member)
	c.members("")
	if c.end() != nil {
		return body, false
	}
	if !c.found {
		if own.name == "" {
			return body, false
		}
		// Objects of the own field's name that lack the field come later than the front of the body.
		if len(c.lacking) == 0 {
			c.lacking = []edit{first}
		}
		return apply(body, c.lacking)
	}
	return apply(body, c.edits)
}

type capper struct {
	jsonReader
	own     capField
	text    string
	limit   int64
	found   bool
	edits   []edit // of allowances that are there
	lacking []edit // of the own field's object where it lacks the field
}

// members reads the members of the object that was just entered, which is a member of that name of the body.
func (c *capper) members(object string) {
	for c.more() {
		field, inner := c.place(object)
		switch {
		case field:
			c.found = true
			c.peek()
			from := c.pos
			if n, ok := c.whole(); !ok || n < 1 || n > c.limit {
				c.edits = append(c.edits, edit{from: from, to: c.pos, text: c.text})
			}
		case inner != "" && c.peek() == '{':
			c.object()
			if inner == c.own.object {
				c.lacking = append(c.lacking, c.insert(`"`+c.own.name+`":`+c.text))
			}
			c.members(inner)
		case inner != "" && inner == c.own.object && c.peek() == 'n':
			c.lacking = append(c.lacking, c.replace(`{"`+c.own.name+`":`+c.text+`}`))
		default:
			c.skip()
		}
	}
}

// place tells whether the member at hand is an allowance, or else which object it is that may hold one.
func (c *capper) place(object string) (field bool, inner string) {
	for _, f := range capFields {
		switch {
		case f.object == object && f.name == string(c.key):
			return true, ""
		case object == "" && f.object != "" && f.object == string(c.key):
			return false, f.object
		}
	}
	return false, ""
}
