package proxy

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strings"
)

// hopByHop are the fields that belong to one connection (RFC 9110, 7.6.1), and their well-known relatives.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// dropHopByHop removes from h what belongs to the connection that it came over.
func dropHopByHop(h http.Header) {
	for _, field := range h["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// forwarded sets X-Forwarded-*. What a peer says that nobody vouches for is replaced.
func forwarded(out http.Header, r *http.Request, peer netip.Addr, trusted []netip.Prefix) {
	trusts := slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(peer.Unmap().WithZone("")) })
	if !trusts {
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			delete(out, name)
		}
	}
	if peer.IsValid() {
		chain := append(out["X-Forwarded-For"], peer.Unmap().String()) // the header is ours alone
		out["X-Forwarded-For"] = []string{strings.Join(chain, ", ")}
	}
	if out.Get("X-Forwarded-Host") == "" {
		out.Set("X-Forwarded-Host", r.Host)
	}
	if out.Get("X-Forwarded-Proto") == "" {
		proto := "http"
		if r.TLS != nil {
			proto = "https"
		}
		out.Set("X-Forwarded-Proto", proto)
	}
}

// peerOf is the address of the connection, or the zero address.
func peerOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}

// cleanPath is the path by which a request is judged: decoded, without empty and dot segments. An upstream may take "//v1/x" or
// "/a/../v1/x" for "/v1/x"; a limit must not look away from it. What is forwarded is the path as it came.
func cleanPath(p string) string {
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// target is where a request goes: its own path and query behind the backend's.
func target(backend, in *url.URL) *url.URL {
	out := *backend
	out.Path = strings.TrimSuffix(backend.Path, "/") + in.Path
	out.RawPath = strings.TrimSuffix(backend.EscapedPath(), "/") + in.EscapedPath()
	out.RawQuery, out.ForceQuery = in.RawQuery, in.ForceQuery
	out.Fragment = ""
	return &out
}

// upgrades reports whether the client wants to leave HTTP. An offer of h2c is no wish: it is left aside, as a server may.
func upgrades(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return true
	}
	wish := r.Header.Get("Upgrade")
	return wish != "" && !strings.EqualFold(wish, "h2c") &&
		slices.ContainsFunc(r.Header["Connection"], func(field string) bool { return strings.Contains(strings.ToLower(field), "upgrade") })
}
