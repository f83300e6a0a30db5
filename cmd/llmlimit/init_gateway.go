package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// atLimit is what templates/gateway.yaml.tmpl needs: amounts in tokens, made for one
// limit.
type atLimit struct {
	Limit, Block     string
	Name             string // of the limit, if its window ends on the clock during a test, else empty
	Tenth, Used      int64  // a tenth of the limit, and the output that uses it up
	Most, Little     int64  // six tenths, and an output that is next to nothing
	Twice            int64
	Slow             bool  // next to nothing comes back during a test
	Small, SmallUsed int64 // of a load
	Seconds          int
	Rate             string
}

// loadSeconds is how long the load lasts.
const loadSeconds = 20

// leastAtLimit is the least amount of tokens of which a tenth is more than a prompt.
const leastAtLimit = 1000

// newAtLimit makes sizes for the first limit of tokens that a target declares.
func newAtLimit(path string, limits []suite.Limit, text []byte) (*atLimit, error) {
	var limit *suite.Limit
	if i := slices.IndexFunc(limits, func(l suite.Limit) bool { return l.Dimension == "tokens" }); i >= 0 {
		limit = &limits[i]
	}
	switch {
	case limit == nil:
		return nil, failWith(exitInvalid, "%s declares no limit of tokens", path).
			withHint("limits: [ { name: tpm, dimension: tokens, amount: 2000, per: 60s } ]; `llmlimit probe URL` finds yours")
	case limit.Most() < leastAtLimit:
		return nil, failWith(exitInvalid, "%s: a limit of %d tokens is less than the %d that a suite can be made for", limit.Pos, limit.Most(), leastAtLimit)
	case limit.Per <= 0:
		return nil, failWith(exitInvalid, "%s: the limit %s has no per, so that nothing comes back", limit.Pos, limit.Name)
	}
	most := limit.Most()
	used := max(40, min(most/10, int64(limit.Rate()/8))) // about ten requests a second where the limit allows it
	rate := 1.15 * limit.Rate() / float64(used)
	slow := limit.Rate()*loadSeconds < float64(most)/10
	if slow { // what comes back is nothing: the load spends what is there, and a third more
		used, rate = max(40, most/30), 40.0/loadSeconds
	}
	name := ""
	if slow && limit.Window == "calendar" {
		name = limit.Name
	}
	return &atLimit{
		Name: name, Limit: limit.Size(), Block: strings.TrimSpace(string(text)),
		Tenth: most / 10, Used: most/10 - 10,
		Most: most * 6 / 10, Little: max(1, most/1000), Twice: 2 * most,
		Small: 2 * used, SmallUsed: used - 10,
		Slow: slow, Seconds: loadSeconds, Rate: strconv.FormatFloat(rate, 'f', 3, 64),
	}, nil
}

func (l *atLimit) suite() ([]byte, error) {
	t, err := template.ParseFS(templates, "templates/gateway.yaml.tmpl")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, l)
	return out.Bytes(), err
}

// initGateway writes a suite for a gateway at its own limit.
func (a *app) initGateway(dir, targetFile string) error {
	file, err := readTarget(targetFile)
	if err != nil {
		return err
	}
	text, err := readFile("the target", targetFile)
	if err != nil {
		return err
	}
	sizes, err := newAtLimit(targetFile, file.Target.Limits, text)
	if err != nil {
		return err
	}
	made, err := sizes.suite()
	if err != nil {
		return failWith(exitInternal, "filling in a template: %w", err)
	}
	if err := writeNew(dir, []starter{{schemaFile, suite.Schema()}, {"gateway.yaml", made}}); err != nil {
		return err
	}
	path := filepath.Join(dir, "gateway.yaml")
	fmt.Fprintf(a.stdout, "wrote %s for %s\n\nnext:\n  llmlimit run %s --mock-listen 127.0.0.1:9000\n", path, sizes.Limit, path)
	return nil
}
