package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/internal/nearest"
)

// source says where the value of a descriptor comes from.
type source uint8

const (
	fromJWT source = iota + 1
	fromHeader
	fromQuery
	fromAddress
	fromModel
	fromUser
	fromTrusted
)

// A descriptor names one property of a request: "jwt:org_id", "header:x-tenant", "ip:address".
type descriptor struct {
	text   string // as the bundle writes it
	source source
	name   string // claim, canonical header field or query parameter
	secret bool   // the value is a credential: shown as a hash only
}

// sources are the descriptors that take a name; others are whole words.
var sources = map[string]source{"jwt": fromJWT, "header": fromHeader, "query": fromQuery}

// words are the descriptors without a name of their own.
var words = map[string]source{"ip:address": fromAddress, "body:model": fromModel, "body:user": fromUser}

// trustable are the descriptors which need data that llmlimit does not ship. A trusted edge may send it in a header field.
var trustable = []string{"ip:country", "ip:asn", "ip:type", "ip:tor", "ua:bot", "ua:bot_category"}

// credentials are parts of names whose values must not be shown.
var credentials = []string{"auth", "key", "token", "secret", "cookie", "password", "credential"}

// parseDescriptor reads a descriptor. trusted maps descriptors of the trustable list to header fields.
func parseDescriptor(text string, trusted map[string]string) (descriptor, error) {
	if s, ok := words[text]; ok {
		return descriptor{text: text, source: s}, nil
	}
	if field, ok := trusted[text]; ok {
		return descriptor{text: text, source: fromTrusted, name: textproto.CanonicalMIMEHeaderKey(field)}, nil
	}
	if slices.Contains(trustable, text) {
		return descriptor{}, fmt.Errorf("found %q, which needs data that llmlimit does not ship; name the header field in which a trusted edge sends it (--trusted-header %s=FIELD)", text, text)
	}
	kind, name, _ := strings.Cut(text, ":")
	s, ok := sources[kind]
	if !ok || name == "" || strings.Trim(name, nameCharacters) != "" {
		return descriptor{}, fmt.Errorf("found %q, expected a descriptor such as jwt:NAME, header:NAME, query:NAME (letters, digits, - and _), %s",
			clip(text), strings.Join(slices.Sorted(maps.Keys(words)), ", "))
	}
	d := descriptor{text: text, source: s, name: name}
	if s == fromHeader {
		d.name = textproto.CanonicalMIMEHeaderKey(name)
	}
	if s != fromJWT {
		d.secret = slices.ContainsFunc(credentials, func(part string) bool { return strings.Contains(strings.ToLower(name), part) })
	}
	return d, nil
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// nearestDescriptor is the known descriptor, or kind of one, that the text is most likely a slip of.
func nearestDescriptor(text string) string {
	if near := nearest.Word(text, append(slices.Sorted(maps.Keys(words)), trustable...)); near != "" && near != text {
		return near
	}
	kind, name, _ := strings.Cut(text, ":")
	if near := nearest.Word(kind, slices.Sorted(maps.Keys(sources))); near != "" && near != kind && name != "" {
		return near + ":" + name
	}
	return ""
}

// Subject is what a policy sees of a request. The slices and maps are read, never kept.
type Subject struct {
	Method   string
	Host     string              // as the client sent it, with or without a port
	Path     string              // decoded, without the query
	RawQuery string              // read only if a rule asks for a parameter
	Header   map[string][]string // names in canonical form, as in http.Header
	Peer     netip.Addr          // of the connection
	Model    string              // of the body; "" if it has none
	User     string              // of the body; "" if it has none
}

// facts reads the descriptors of one request, each at most once.
type facts struct {
	bundle *Bundle
	now    time.Time
	s      *Subject
	cells  []cell // one for each descriptor of the bundle
	query  url.Values
	claims claims
}

type cell struct {
	value string
	read  bool
}

// value returns the trimmed value of a descriptor, "" if the request has none.
func (f *facts) value(i int) string {
	c := &f.cells[i]
	if !c.read {
		c.read = true
		c.value = strings.Trim(f.extract(&f.bundle.descriptors[i]), " \t")
	}
	return c.value
}

func (f *facts) extract(d *descriptor) string {
	switch d.source {
	case fromJWT:
		if f.claims == nil {
			f.claims = f.bundle.verifier.claims(f.now, f.s.Header["Authorization"])
		}
		return f.claims.text(d.name)
	case fromHeader, fromTrusted:
		if d.name == "Host" {
			return f.s.Host
		}
		return joined(f.s.Header[d.name])
	case fromQuery:
		if f.query == nil {
			// A malformed parameter is absent; the others still count.
			f.query, _ = url.ParseQuery(f.s.RawQuery)
		}
		return f.query.Get(d.name) // of a repeated parameter the first
	case fromAddress:
		return f.bundle.clientAddress(f.s)
	case fromModel:
		return f.s.Model
	case fromUser:
		return f.s.User
	}
	return ""
}

// joined is a repeated field as one value (RFC 9110, 5.3).
func joined(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, ", ")
}

// clientAddress is the peer, or what trusted proxies say of whom they forward: X-Forwarded-For is read from its end for as long
// as the sender is trusted. What stands further left was written by somebody whom nobody vouches for.
func (b *Bundle) clientAddress(s *Subject) string {
	addr := s.Peer.Unmap().WithZone("")
	if b.trusted(addr) {
		hops := strings.Split(strings.Join(s.Header["X-Forwarded-For"], ","), ",")
		for i := len(hops) - 1; i >= 0 && b.trusted(addr); i-- {
			next, ok := parseHop(hops[i])
			if !ok {
				break
			}
			addr = next
		}
	}
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// parseHop reads an address as proxies write it: some add the port, some put brackets around IPv6.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = with.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func (b *Bundle) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(b.trustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
