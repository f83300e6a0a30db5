package policy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Verifier decides whether the claims of a bearer token may be believed. The zero of its pointer, nil, believes every token that
// can be read: whoever uses it says so at start. A token that fails has no claims, so that a rule finds its key missing.
// A Verifier is safe for concurrent use.
type Verifier struct {
	parser *jwt.Parser
	key    jwt.Keyfunc
}

var (
	hmacMethods = []string{"HS256", "HS384", "HS512"}
	rsaMethods  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	ecMethods   = []string{"ES256", "ES384", "ES512"}
)

// VerifyHMAC believes tokens that are signed with the shared secret. A newline at its end, as editors leave it, is not part of it.
func VerifyHMAC(secret []byte) (*Verifier, error) {
	secret = bytes.Clone(bytes.TrimRight(secret, "\r\n"))
	if len(secret) == 0 {
		return nil, errors.New("the HMAC secret is empty")
	}
	return newVerifier(func(*jwt.Token) (any, error) { return secret, nil }, hmacMethods), nil
}

// VerifyKey believes tokens that are signed with the private half of an RSA or EC key, given as PEM: a public key or a certificate.
func VerifyKey(text []byte) (*Verifier, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("found no PEM block, expected a public key or a certificate")
	}
	key, err := publicKey(block)
	if err != nil {
		return nil, fmt.Errorf("reading PEM block %q: %w", block.Type, err)
	}
	methods := rsaMethods
	switch key.(type) {
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		methods = ecMethods
	default:
		return nil, fmt.Errorf("found a key of type %T, expected RSA or EC", key)
	}
	return newVerifier(func(*jwt.Token) (any, error) { return key, nil }, methods), nil
}

func publicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	}
	return nil, errors.New("expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")
}

// VerifyJWKS believes tokens that are signed with a key of the JSON Web Key Set. A token names its key by `kid`.
func VerifyJWKS(set []byte) (*Verifier, error) {
	keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(set))
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	all, err := keys.Storage().KeyReadAll(context.Background())
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	if len(all) == 0 {
		return nil, errors.New("the key set has no keys")
	}
	// The kinds of key are told apart by the library: a public RSA key is never taken for an HMAC secret.
	methods := append(append(append([]string{}, rsaMethods...), ecMethods...), hmacMethods...)
	return newVerifier(keys.Keyfunc, methods), nil
}

// newVerifier checks `exp` and `nbf` itself, at the instant that the caller gives, not at the library's own.
func newVerifier(key jwt.Keyfunc, methods []string) *Verifier {
	return &Verifier{key: key, parser: jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation())}
}

// unverified reads claims without a look at the signature.
var unverified = jwt.NewParser(jwt.WithJSONNumber())

// claims of a token; empty if there is none that is believed.
type claims map[string]any

// claims reads the bearer token of the Authorization field at an instant.
func (v *Verifier) claims(now time.Time, fields []string) claims {
	none := claims{}
	if len(fields) != 1 { // two of them: the upstream may believe the other one
		return none
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(fields[0]), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return none
	}
	token = strings.TrimSpace(token)
	read := jwt.MapClaims{}
	if v == nil {
		if _, _, err := unverified.ParseUnverified(token, read); err != nil {
			return none
		}
		return claims(read)
	}
	if _, err := v.parser.ParseWithClaims(token, read, v.key); err != nil || !current(read, now) {
		return none
	}
	return claims(read)
}

// current reports whether now is within the token's life. A life that cannot be read is none.
func current(c jwt.MapClaims, now time.Time) bool {
	expires, err := c.GetExpirationTime()
	if err != nil || expires != nil && !now.Before(expires.Time) {
		return false
	}
	begins, err := c.GetNotBefore()
	return err == nil && (begins == nil || !now.Before(begins.Time))
}

// text is a claim as text: a string as it is, a number as written, true and false. Objects, lists and null are no key.
func (c claims) text(name string) string {
	switch v := c[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return ""
}
