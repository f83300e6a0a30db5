package faulty

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// bodyReserialised decodes JSON and encodes it again: white space, the order of keys and the form of numbers are lost.
func bodyReserialised(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Transport = changeResponse(cfg.Transport, func(resp *http.Response) error {
		kind := resp.Header.Get("Content-Type")
		if !strings.HasPrefix(kind, "application/json") || resp.Header.Get("Content-Encoding") != "" || !t.Strikes() {
			return nil
		}
		return editBody(resp, func(body []byte) []byte {
			var value any
			if json.Unmarshal(body, &value) != nil {
				return body
			}
			again, err := json.Marshal(value)
			if err != nil {
				return body
			}
			return again
		})
	})
	return cfg
}
