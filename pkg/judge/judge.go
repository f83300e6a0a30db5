package judge

// Judge judges a history. It does not change it.
func Judge(h *History) *Report { return &Report{Cell: h.Header.Cell} }
