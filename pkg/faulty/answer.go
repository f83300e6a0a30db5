package faulty

import (
	"net/http"

	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// changeHead wraps the front: change may alter the head of every answer, and returns its status.
func changeHead(cfg proxy.Config, change func(r *http.Request, status int, h http.Header) int) proxy.Config {
	return changeAnswers(cfg, func(r *http.Request, w http.ResponseWriter) *answerWriter {
		return &answerWriter{ResponseWriter: w, head: func(status int, h http.Header) int { return change(r, status, h) }}
	})
}

// changeAnswers wraps the front: every answer goes through a writer of its own.
func changeAnswers(cfg proxy.Config, through func(r *http.Request, w http.ResponseWriter) *answerWriter) proxy.Config {
	inner := cfg.Middleware
	cfg.Middleware = func(h http.Handler) http.Handler {
		h = inner(h)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := through(r, w)
			defer a.end()
			h.ServeHTTP(a, r)
		})
	}
	return cfg
}

// answerWriter writes an answer with another head or another body. A nil function changes nothing.
type answerWriter struct {
	http.ResponseWriter
	head  func(status int, h http.Header) int
	body  func(piece []byte) []byte // returns what is passed on
	rest  func() []byte             // what is passed on at the end
	begun bool
}

// WriteHeader implements [http.ResponseWriter].
func (a *answerWriter) WriteHeader(status int) {
	if status >= http.StatusOK && !a.begun {
		a.begun = true
		if a.head != nil {
			status = a.head(status, a.Header())
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *answerWriter) Write(piece []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.body == nil {
		return a.ResponseWriter.Write(piece)
	}
	if passed := a.body(piece); len(passed) > 0 {
		if _, err := a.ResponseWriter.Write(passed); err != nil {
			return 0, err
		}
	}
	return len(piece), nil
}

// Unwrap lets [http.ResponseController] flush.
func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerWriter) end() {
	if a.rest != nil {
		_, _ = a.ResponseWriter.Write(a.rest()) // the client may have left
	}
}

// rejected reports whether an answer is the limiter's own "too many requests".
func rejected(status int, h http.Header) bool {
	return status == http.StatusTooManyRequests && h.Get("X-Llmlimit-Origin") == "limiter"
}
