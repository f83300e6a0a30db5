package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// identities are who a cell can be at a target by URL. One is the cell's own, so
// that its accounts begin empty; steps may ask for others by `key`.
type identities struct {
	is    *suite.Identity // nil: the target does not tell clients apart
	run   string          // id of the run
	place int             // of the cell in the plan, from 1; 0 is nobody's, for a look beforehand
	cells int             // in the plan
	key   []byte          // that signs tokens
	ctx   context.Context //nolint:containedctx // of the cell, for commands that mint identities

	mu    sync.Mutex
	extra map[string]string // identities that steps asked for, guarded by mu
}

// newIdentities prepares identities of one kind.
func (w *world) newIdentities(ctx context.Context, is *suite.Identity, place int) (*identities, error) {
	p := w.suite.Program
	who := &identities{is: is, run: p.RunID, place: place, cells: w.suite.total, ctx: ctx, extra: map[string]string{}}
	if who.is == nil || who.is.JWT == nil {
		return who, nil
	}
	key, err := os.ReadFile(who.is.JWT.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("target.identity.jwt: reading the key that signs tokens: %w", err)
	}
	who.key = key
	return who, nil
}

// place is where the cell stands in the whole plan, from 1.
func (w *world) place() int {
	return w.suite.before + 1 + slices.IndexFunc(w.suite.Program.Cells, func(c *suite.Cell) bool { return c.ID == w.cell.ID })
}

// own is the identity of the cell, empty if the target does not tell clients apart.
// A setup command runs once.
func (i *identities) own() (string, error) {
	switch {
	case i.is == nil:
		return "", nil
	case len(i.is.Setup) > 0:
		return i.setup(i.place)
	case i.is.Pool != nil && len(i.is.Pool.List) > 0:
		n := len(i.is.Pool.List)
		return i.is.Pool.List[(i.place-1+n)%n], nil
	case i.is.Pool != nil:
		return strings.ReplaceAll(i.is.Pool.Template, "${i}", strconv.Itoa(i.place)), nil
	case i.is.JWT != nil:
		return fmt.Sprintf("llmlimit-%s-%d", i.run, i.place), nil
	}
	return "", nil
}

// shared tells whether two cells may have to be the same client, so that nobody can
// say that an account begins full.
func (i *identities) shared() bool {
	return i.is == nil || i.is.Pool != nil && len(i.is.Pool.List) > 0 && len(i.is.Pool.List) < i.cells
}

// named is the identity that a step asks for by `key`. Where identities can be made
// up, the word is the identity; a list or a setup command gives one that no cell
// has, the same for the same word.
func (i *identities) named(word string) (string, error) {
	if i.is == nil || word == "" {
		return word, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if known, ok := i.extra[word]; ok {
		return known, nil
	}
	var who string
	var err error
	next := i.cells*(1+len(i.extra)) + i.place
	switch {
	case len(i.is.Setup) > 0:
		who, err = i.setup(next)
	case i.is.Pool != nil && len(i.is.Pool.List) > 0:
		if slices.Contains(i.is.Pool.List, word) {
			return word, nil
		}
		at := len(i.is.Pool.List) - 1 - len(i.extra)
		if at < 0 || at < i.place {
			return "", fmt.Errorf("target.identity.pool lists %d identities, and this scenario needs one more: add some, or give a template", len(i.is.Pool.List))
		}
		who = i.is.Pool.List[at]
	default:
		return word, nil
	}
	i.extra[word] = who
	return who, err
}

// setupTimeout is what a command may take that mints an identity.
const setupTimeout = time.Minute

// setup runs the command that makes an identity: its standard output is the
// identity. LLMLIMIT_IDENTITY is a name that no other cell of any run has.
//
//nolint:contextcheck,nolintlint // it has that of the cell; the linter reads this here and counts it nowhere
func (i *identities) setup(place int) (string, error) {
	ctx, cancel := context.WithTimeout(i.ctx, setupTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, i.is.Setup[0], i.is.Setup[1:]...) //nolint:gosec // the user's own command, from the target block
	cmd.Env = append(os.Environ(), fmt.Sprintf("LLMLIMIT_IDENTITY=llmlimit-%s-%d", i.run, place))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("target.identity.setup: running %s: %w: %s", i.is.Setup[0], err, shorten(strings.TrimSpace(stderr.String()), 400))
	}
	who := strings.TrimSpace(string(out))
	if who == "" {
		return "", fmt.Errorf("target.identity.setup: %s printed nothing; expected the identity on its standard output", i.is.Setup[0])
	}
	return who, nil
}

// present puts an identity into a request, unless the request has one of its own.
func (i *identities) present(who string, header http.Header, now time.Time) error {
	if i.is == nil || who == "" {
		return nil
	}
	name, value := i.is.Header, who
	if i.is.JWT != nil {
		token, err := i.sign(who, now)
		if err != nil {
			return err
		}
		value = token
	}
	if name == "" {
		name = "Authorization"
	}
	if http.CanonicalHeaderKey(name) == "Authorization" && !strings.Contains(value, " ") {
		value = "Bearer " + value
	}
	header.Set(name, value)
	return nil
}

// sign makes a token whose claim is the identity.
func (i *identities) sign(who string, now time.Time) (string, error) {
	j := i.is.JWT
	claims := jwt.MapClaims{}
	maps.Copy(claims, j.Claims)
	expires := j.Expires
	if expires == 0 {
		expires = time.Hour
	}
	claims[j.Claim] = who
	claims["iat"], claims["exp"] = now.Unix(), now.Add(expires).Unix()
	method := jwt.GetSigningMethod(first(j.Alg, "RS256"))
	if method == nil || method == jwt.SigningMethodNone {
		return "", fmt.Errorf("target.identity.jwt.alg: found %q, expected RS256, ES256, EdDSA, HS256 or one of their kin", j.Alg)
	}
	token := jwt.NewWithClaims(method, claims)
	if j.Key != "" {
		token.Header["kid"] = j.Key
	}
	key, err := signingKey(method, i.key)
	if err != nil {
		return "", fmt.Errorf("target.identity.jwt: %s is no key for %s: %w", j.KeyFile, method.Alg(), err)
	}
	text, err := token.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("target.identity.jwt: signing: %w", err)
	}
	return text, nil
}

func signingKey(method jwt.SigningMethod, text []byte) (any, error) {
	switch method.(type) {
	case *jwt.SigningMethodHMAC:
		secret := bytes.TrimSpace(text)
		if len(secret) == 0 {
			return nil, errors.New("it is empty")
		}
		return secret, nil
	case *jwt.SigningMethodECDSA:
		return jwt.ParseECPrivateKeyFromPEM(text)
	case *jwt.SigningMethodEd25519:
		return jwt.ParseEdPrivateKeyFromPEM(text)
	}
	return jwt.ParseRSAPrivateKeyFromPEM(text)
}
