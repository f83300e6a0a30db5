package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var at = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// signed is an Authorization field with a token.
func signed(t *testing.T, method jwt.SigningMethod, key any, kid string, c jwt.MapClaims) []string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"Bearer " + text}
}

// public is the PEM of the public half of a key.
func public(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestVerifiers(t *testing.T) {
	rsaKey := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	other := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	set := fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"one","alg":"RS256","use":"sig","n":%q,"e":"AQAB"}]}`,
		base64.RawURLEncoding.EncodeToString(rsaKey.N.Bytes()))

	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: at}
	certificate := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, rsaKey.Public(), rsaKey))
	byCertificate := must[*Verifier](t)(VerifyKey(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)})
	byPKCS1 := must[*Verifier](t)(VerifyKey(pkcs1))
	hmac := must[*Verifier](t)(VerifyHMAC([]byte("secret\n")))
	byRSA := must[*Verifier](t)(VerifyKey(public(t, rsaKey)))
	byEC := must[*Verifier](t)(VerifyKey(public(t, ecKey)))
	bySet := must[*Verifier](t)(VerifyJWKS([]byte(set)))

	org := jwt.MapClaims{"org": "acme"}
	life := func(from, to time.Duration) jwt.MapClaims {
		return jwt.MapClaims{"org": "acme", "nbf": at.Add(from).Unix(), "exp": at.Add(to).Unix()}
	}
	hs, rs, es := jwt.SigningMethodHS256, jwt.SigningMethodRS256, jwt.SigningMethodES256
	for _, tt := range []struct {
		name     string
		verifier *Verifier
		fields   []string
		want     string
	}{
		{"hmac", hmac, signed(t, hs, []byte("secret"), "", org), "acme"},
		{"hmac, other secret", hmac, signed(t, hs, []byte("Secret"), "", org), ""},
		{"rsa", byRSA, signed(t, rs, rsaKey, "", org), "acme"},
		{"rsa-pss", byRSA, signed(t, jwt.SigningMethodPS256, rsaKey, "", org), "acme"},
		{"certificate", byCertificate, signed(t, rs, rsaKey, "", org), "acme"},
		{"certificate, other key", byCertificate, signed(t, rs, other, "", org), ""},
		{"pkcs1", byPKCS1, signed(t, rs, rsaKey, "", org), "acme"},
		{"rsa, other key", byRSA, signed(t, rs, other, "", org), ""},
		{"rsa, its public key taken for a secret", byRSA, signed(t, hs, public(t, rsaKey), "", org), ""},
		{"ec", byEC, signed(t, es, ecKey, "", org), "acme"},
		{"ec, given rsa", byEC, signed(t, rs, rsaKey, "", org), ""},
		{"key set", bySet, signed(t, rs, rsaKey, "one", org), "acme"},
		{"key set, unknown kid", bySet, signed(t, rs, rsaKey, "two", org), ""},
		{"key set, other key", bySet, signed(t, rs, other, "one", org), ""},
		{"key set, its public key taken for a secret", bySet, signed(t, hs, public(t, rsaKey), "one", org), ""},
		{"no signature", hmac, signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", org), ""},
		{"no signature, nobody looks", nil, signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", org), "acme"},
		{"other secret, nobody looks", nil, signed(t, hs, []byte("Secret"), "", org), "acme"},
		{"in its life", hmac, signed(t, hs, []byte("secret"), "", life(0, time.Second)), "acme"},
		{"expired", hmac, signed(t, hs, []byte("secret"), "", life(-time.Hour, 0)), ""},
		{"not yet", hmac, signed(t, hs, []byte("secret"), "", life(time.Second, time.Hour)), ""},
		{"a life that cannot be read", hmac, signed(t, hs, []byte("secret"), "", jwt.MapClaims{"org": "acme", "exp": "soon"}), ""},
		{"two fields", nil, append(signed(t, hs, []byte("a"), "", org), "Bearer x"), ""},
		{"none", nil, nil, ""},
		{"another scheme", nil, []string{"Basic YTpi"}, ""},
		{"no token", nil, []string{"Bearer"}, ""},
		{"not a token", nil, []string{"Bearer sk-1234"}, ""},
		{"scheme in lower case", nil, []string{strings.Replace(signed(t, hs, []byte("a"), "", org)[0], "Bearer", "bearer ", 1)}, "acme"},
	} {
		if got := tt.verifier.claims(at, tt.fields).text("org"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestClaimText(t *testing.T) {
	c := claims{"s": "a", "n": json.Number("12345678901234567890"), "t": true, "f": false, "l": []any{"a"}, "o": map[string]any{}, "z": nil}
	for name, want := range map[string]string{"s": "a", "n": "12345678901234567890", "t": "true", "f": "false", "l": "", "o": "", "z": "", "absent": ""} {
		if got := c.text(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestLargeNumbers: the id of an organisation is no float, checked or not.
func TestLargeNumbers(t *testing.T) {
	hmac := must[*Verifier](t)(VerifyHMAC([]byte("secret")))
	fields := signed(t, jwt.SigningMethodHS256, []byte("secret"), "", jwt.MapClaims{"org": json.Number("9007199254740993")})
	for name, v := range map[string]*Verifier{"checked": hmac, "unchecked": nil} {
		if got := v.claims(at, fields).text("org"); got != "9007199254740993" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestBadKeys(t *testing.T) {
	for name, err := range map[string]error{
		"the HMAC secret is empty":   second(VerifyHMAC([]byte("\n"))),
		"found no PEM block":         second(VerifyKey([]byte("secret"))),
		`PEM block "PRIVATE KEY"`:    second(VerifyKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}))),
		"reading the key set":        second(VerifyJWKS([]byte("{"))),
		"the key set has no keys":    second(VerifyJWKS([]byte(`{"keys":[]}`))),
		`PEM block "RSA PUBLIC KEY"`: second(VerifyKey(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: []byte("x")}))),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func second(_ *Verifier, err error) error { return err }

// FuzzJWT reads fields that are no tokens, tokens that are cut, and claims of every kind.
func FuzzJWT(f *testing.F) {
	claim := func(payload string) string {
		part := base64.RawURLEncoding.EncodeToString
		return "Bearer " + part([]byte(`{"alg":"none"}`)) + "." + part([]byte(payload)) + "."
	}
	for _, seed := range []string{
		claim(`{"org":"acme"}`), claim(`{"org":1e400}`), claim(`{"org":{"a":1}}`), claim(`[1]`), claim(`null`), claim(`{"org":"a","org":"b"}`),
		claim(strings.Repeat(`{"org":`, 300)), "Bearer a.b.c", "Bearer ..", "bearer\t" + claim("{}"), "Bearer", "", claim(`{"org":"\ud800"}`),
	} {
		f.Add(seed)
	}
	hmac, err := VerifyHMAC([]byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, field string) {
		_ = (*Verifier)(nil).claims(at, []string{field}).text("org")
		if got := hmac.claims(at, []string{field}); len(got) != 0 {
			t.Errorf("%q is believed: %v", field, got)
		}
	})
}
