package llmapi

// dialects is every dialect that is recognised by its path, in the order in which they are asked: an API that shares
// the end of its path with another stands before it. A new dialect is one file and one row here.
var dialects = []Dialect{}

// For returns the dialect of an endpoint, or nil if no dialect has such an endpoint: see [Generic].
func For(method, path string) Dialect {
	for _, d := range dialects {
		if d.Match(method, path) {
			return d
		}
	}
	return nil
}
