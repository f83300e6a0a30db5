package suite

import "strings"

// mergePatch applies RFC 7396: a mapping merges key by key, null removes,
// anything else replaces. Neither argument is changed.
func mergePatch(base, over *node) *node {
	if base == nil {
		return over
	}
	if over.kind != mapNode {
		return over
	}
	out := &node{kind: mapNode, pos: over.pos, origin: over.origin}
	if base.kind == mapNode {
		out.fields = append(out.fields, base.fields...)
	}
	for _, f := range over.fields {
		at := -1
		for i := range out.fields {
			if out.fields[i].key == f.key {
				at = i
			}
		}
		switch {
		case f.value.null():
			if at >= 0 {
				out.fields = append(out.fields[:at:at], out.fields[at+1:]...)
			}
		case at >= 0:
			f.value = mergePatch(out.fields[at].value, f.value)
			out.fields[at] = f
		default:
			f.value = mergePatch(&node{kind: mapNode, pos: f.value.pos}, f.value)
			out.fields = append(out.fields, f)
		}
	}
	return out
}

// mergeRequests lays requests over each other, the last one on top. Plans are
// not merged here: the mock knows how.
func mergeRequests(layers []*node) *node {
	var out *node
	for _, layer := range layers {
		if layer == nil {
			continue
		}
		if layer.kind != mapNode {
			if layer.null() {
				layer = &node{kind: mapNode, pos: layer.pos}
			} else {
				return layer // wrong, and the decoder says so
			}
		}
		layer = normalRequest(layer)
		if out == nil {
			out = layer
			continue
		}
		out = mergePatch(withoutRivals(out, layer), layer)
	}
	return out
}

// normalRequest writes short forms out: header names in lower case, stream as a
// field of the body.
func normalRequest(n *node) *node {
	n = n.without("plan")
	if headers := n.get("headers"); headers != nil && headers.kind == mapNode {
		lower := *headers
		lower.fields = nil
		for _, f := range headers.fields {
			f.key = strings.ToLower(f.key)
			lower.fields = append(lower.fields, f)
		}
		n = n.with("headers", &lower)
	}
	if stream := n.get("stream"); stream != nil && !stream.null() {
		flag := &node{kind: mapNode, pos: stream.pos, fields: []field{{key: "stream", pos: stream.pos, value: stream}}}
		body := n.get("json")
		if body == nil {
			body = flag
		} else {
			body = mergePatch(body, flag)
		}
		n = n.with("json", body)
	}
	return n
}

// withoutRivals drops a lower layer's body if the upper one brings another form
// of it.
func withoutRivals(below, over *node) *node {
	forms := []string{"json", "body", "body-file"}
	for _, form := range forms {
		if over.get(form) == nil {
			continue
		}
		for _, rival := range forms {
			if rival != form {
				below = below.without(rival)
			}
		}
	}
	return below
}
