package faulty

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
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
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		var value any
		if json.Unmarshal(body, &value) == nil {
			if again, err := json.Marshal(value); err == nil {
				body = again
			}
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if resp.ContentLength >= 0 {
			resp.ContentLength = int64(len(body))
			resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
		}
		return nil
	})
	return cfg
}
