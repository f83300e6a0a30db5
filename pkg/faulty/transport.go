package faulty

import "net/http"

// changeResponse wraps a transport: change gets every response before the proxy does. Its error is the transport's.
func changeResponse(next http.RoundTripper, change func(*http.Response) error) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if err := change(resp); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
		return resp, nil
	})
}

// roundTrip is a function that is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
