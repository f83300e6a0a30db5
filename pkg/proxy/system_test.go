package proxy_test

import (
	"net/http"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

func TestDeliveries(t *testing.T) {
	for _, delivery := range []string{"length", "chunked", "close"} {
		for _, encoding := range []string{"none", "gzip", "deflate", "br", "zstd"} {
			for _, body := range []string{chatBody, streamBody} {
				kind := "json"
				if body == streamBody {
					kind = "stream"
				}
				t.Run(delivery+"/"+encoding+"/"+kind, func(t *testing.T) {
					inSystem(t, tpmRules, nil, func(s *system) {
						got := s.post(chatPath, body, s.plan(mockllm.Plan{HTTP: mockllm.HTTP{Framing: delivery, Encoding: encoding}}))
						if got.StatusCode != http.StatusOK || got.err != nil {
							t.Fatalf("status %d, %v: %s", got.StatusCode, got.err, got.body)
						}
						s.charged(proxy.OutcomeDone, 50)
						s.sameBytes(got.body)
					})
				})
			}
		}
	}
}
