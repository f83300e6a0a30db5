package judge

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// line is one line of a file of histories: exactly one of its parts is set. Cell
// ties the lines of one history together, so that scenarios that run side by
// side may write to one file.
type line struct {
	Cell    string       `json:"cell"`
	Header  *Header      `json:"header,omitempty"`
	Request *Request     `json:"request,omitempty"`
	Ledger  *LedgerEntry `json:"ledger,omitempty"`
}

// check reports a number that no run can have written.
func (l *line) check() error {
	switch {
	case l.Header != nil:
		return l.Header.check()
	case l.Request != nil:
		return l.Request.check()
	}
	return nil
}

// WriteHistory writes h as JSON lines: its header, its requests, its ledger.
// Reading them back gives an equal history.
func WriteHistory(w io.Writer, h *History) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	cell := h.Header.Cell
	if err := e.Encode(line{Cell: cell, Header: &h.Header}); err != nil {
		return fmt.Errorf("writing the header of history %q: %w", cell, err)
	}
	for i := range h.Requests {
		if err := e.Encode(line{Cell: cell, Request: &h.Requests[i]}); err != nil {
			return fmt.Errorf("writing request %q of history %q: %w", h.Requests[i].ID, cell, err)
		}
	}
	for i := range h.Ledger {
		if err := e.Encode(line{Cell: cell, Ledger: &h.Ledger[i]}); err != nil {
			return fmt.Errorf("writing the ledger of history %q: %w", cell, err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("writing history %q: %w", cell, err)
	}
	return nil
}

// ReadHistories reads all histories of a file, in the order in which their
// headers appear. Lines of several histories may be mixed; a header comes before
// the other lines of its history. Unknown fields are errors, and so are instants
// and amounts that no run can have written.
func ReadHistories(r io.Reader) ([]*History, error) {
	var all []*History
	byCell := map[string]*History{}
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	for n := 1; ; n++ {
		var l line
		err := d.Decode(&l)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading event %d: %w", n, err)
		}
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("reading event %d of history %q: %w", n, l.Cell, err)
		}
		h := byCell[l.Cell]
		switch {
		case l.Header != nil && h != nil:
			return nil, fmt.Errorf("reading event %d: a second header for history %q", n, l.Cell)
		case l.Header != nil && l.Header.Cell != l.Cell:
			return nil, fmt.Errorf("reading event %d: the header of %q says cell %q", n, l.Cell, l.Header.Cell)
		case l.Header != nil:
			h = &History{Header: *l.Header}
			byCell[l.Cell] = h
			all = append(all, h)
		case h == nil:
			return nil, fmt.Errorf("reading event %d: no header for history %q before it", n, l.Cell)
		case l.Request != nil:
			h.Requests = append(h.Requests, *l.Request)
		case l.Ledger != nil:
			h.Ledger = append(h.Ledger, *l.Ledger)
		default:
			return nil, fmt.Errorf("reading event %d: found neither header, request nor ledger", n)
		}
	}
}
