package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// curlSuite is the file that a curl line becomes.
const curlSuite = "from-curl.yaml"

// curlRequest is what a curl line asks for, credentials already replaced.
type curlRequest struct {
	method  string
	target  *url.URL
	headers []field
	body    string
	json    bool
	secrets []string // names of variables of the environment
	given   []string // those of them that the line itself named

	insecure bool
}

type field struct{ name, value string }

func (a *app) initFromCurl(dir, line string) error {
	words, err := shellWords(line)
	if err != nil {
		return failWith(exitUsage, "reading the curl line: %w", err)
	}
	r, err := parseCurl(words)
	if err != nil {
		return failWith(exitUsage, "reading the curl line: %w", err)
	}
	text, err := r.suite()
	if err != nil {
		return failWith(exitUsage, "reading the curl line: %w", err)
	}
	if _, problems := suite.Read(curlSuite, text, nil); problems.Err() != nil {
		return failWith(exitUsage, "the curl line makes no valid suite: %s", problems.Errors().String())
	}
	if err := writeNew(dir, []starter{{curlSuite, text}}); err != nil {
		return err
	}
	path := filepath.Join(dir, curlSuite)
	fmt.Fprintf(a.stdout, "wrote %s\n\nnext:\n", path)
	for _, name := range r.secrets {
		if !slices.Contains(r.given, name) {
			fmt.Fprintf(a.stdout, "  export %s=…    the credential of the curl line is not in the file\n", name)
		}
	}
	more := ""
	if !isLoopback(r.target.String()) {
		more += " --allow-remote"
	}
	if r.insecure {
		more += " --insecure"
	}
	fmt.Fprintf(a.stdout, "  llmlimit run %s --mock-listen 127.0.0.1:9000%s    with the gateway's upstream at 127.0.0.1:9000\n", path, more)
	return nil
}

// How curl's options are read. What is not here is refused by name: a scenario that
// silently sends something else than the curl line is worse than none.
var (
	// curlIgnored take no value and change how curl behaves, not what it sends.
	curlIgnored = []string{
		"-s", "--silent", "-S", "--show-error", "-i", "--include", "-v", "--verbose", "-N", "--no-buffer",
		"-f", "--fail", "--fail-with-body", "-g", "--globoff", "-#", "--progress-bar", "-L", "--location",
	}
	// curlFlags are the letters without a value.
	curlFlags = []string{"-s", "-S", "-i", "-v", "-N", "-f", "-g", "-#", "-L", "-k"}
	// curlIgnoredWithValue take a value, and change as little.
	curlIgnoredWithValue = []string{"-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "--retry"}
	// curlValues are read, and take a value.
	curlValues = []string{
		"-X", "--request", "-H", "--header", "-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--json", "--url",
		"-u", "--user", "-A", "--user-agent", "-b", "--cookie",
	}
)

// parseCurl reads the words of a curl line.
func parseCurl(words []string) (*curlRequest, error) {
	if len(words) == 0 || filepath.Base(words[0]) != "curl" {
		return nil, errors.New("it does not begin with the word curl")
	}
	r := &curlRequest{}
	rest := clusters(words[1:])
	for len(rest) > 0 {
		word := rest[0]
		rest = rest[1:]
		if !strings.HasPrefix(word, "-") || word == "-" {
			if err := r.setURL(word); err != nil {
				return nil, err
			}
			continue
		}
		option, value, joined := splitOption(word)
		switch {
		case slices.Contains(curlIgnored, word):
			continue
		case !joined && (slices.Contains(curlValues, option) || slices.Contains(curlIgnoredWithValue, option)):
			if len(rest) == 0 {
				return nil, fmt.Errorf("%s needs a value", option)
			}
			value, rest = rest[0], rest[1:]
		}
		if slices.Contains(curlIgnoredWithValue, option) {
			continue
		}
		if err := r.option(option, value); err != nil {
			return nil, err
		}
	}
	if r.target == nil {
		return nil, errors.New("it names no URL")
	}
	return r, r.finish()
}

// splitOption separates -XPOST and --request=POST. A joined value has to be one of an
// option that takes one.
func splitOption(word string) (option, value string, joined bool) {
	if strings.HasPrefix(word, "--") {
		option, value, joined = strings.Cut(word, "=")
		return option, value, joined
	}
	if len(word) > 2 && (slices.Contains(curlValues, word[:2]) || slices.Contains(curlIgnoredWithValue, word[:2])) {
		return word[:2], word[2:], true
	}
	return word, "", false
}

// clusters takes apart letters that stand together, as -sSXPOST does: each has no
// value but the last, whose value may follow at once.
func clusters(words []string) []string {
	var apart []string
	for _, word := range words {
		for len(word) > 2 && word[0] == '-' && word[1] != '-' && slices.Contains(curlFlags, word[:2]) {
			apart = append(apart, word[:2])
			word = "-" + word[2:]
		}
		apart = append(apart, word)
	}
	return apart
}

func (r *curlRequest) option(option, value string) error {
	switch option {
	case "-X", "--request":
		r.method = value
	case "--url":
		return r.setURL(value)
	case "-H", "--header":
		name, text, ok := strings.Cut(value, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("the header %q is not 'Name: value'", value)
		}
		r.header(strings.TrimSpace(name), strings.TrimSpace(text))
	case "-A", "--user-agent":
		r.header("user-agent", value)
	case "-b", "--cookie":
		r.header("cookie", value)
	case "-u", "--user":
		r.basicAuth()
	case "-k", "--insecure":
		r.insecure = true
	case "--compressed":
		r.header("accept-encoding", "gzip, br, zstd")
	case "-d", "--data", "--data-ascii", "--data-binary", "--json":
		if strings.HasPrefix(value, "@") {
			return fmt.Errorf("%s %s reads a file, which a scenario should not depend on: write the body itself, or use body-file: in the suite", option, value)
		}
		r.json = r.json || option == "--json"
		r.data(value)
	case "--data-raw":
		r.data(value)
	default:
		return fmt.Errorf("the option %s is not understood: leave it out, or write the scenario by hand (docs/write-a-scenario.md)", option)
	}
	return nil
}

// data appends to the body, as curl does.
func (r *curlRequest) data(value string) {
	if r.body != "" {
		r.body += "&"
	}
	r.body += value
}

func (r *curlRequest) setURL(text string) error {
	if r.target != nil {
		return fmt.Errorf("it names two URLs, %s and %s", r.target, text)
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text // as curl does
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not an HTTP URL", text)
	}
	if strings.Contains(u.Host, "$") {
		return fmt.Errorf("%s contains a variable of the shell, which nobody has filled in", text)
	}
	r.target = u
	return nil
}

// header keeps one header, its credential replaced. The runner sets lengths itself.
func (r *curlRequest) header(name, value string) {
	lower := strings.ToLower(name)
	switch lower {
	case "content-length", "host", "connection":
		return
	case "authorization", "proxy-authorization":
		scheme, credential, ok := strings.Cut(value, " ")
		if ok {
			value = scheme + " " + r.secret(lower, credential)
		} else {
			value = r.secret(lower, value)
		}
	default:
		if isSecret(lower) {
			value = r.secret(lower, value)
		}
	}
	r.headers = append(r.headers, field{lower, value})
}

func (r *curlRequest) basicAuth() {
	r.headers = append(r.headers, field{"authorization", "Basic " + r.secret("basic-credentials", "")})
}

// isSecret tells whether the value of a header or query parameter is a credential.
func isSecret(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if slices.Contains([]string{"cookie", "key", "sig", "token"}, name) || strings.HasSuffix(name, "-token") {
		return true
	}
	for _, part := range []string{"api-key", "apikey", "secret", "password", "signature", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// shellVariable is a value that is nothing but a variable of the shell.
var shellVariable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})$`)
})

// secret returns the reference that stands in place of a credential: to the variable
// that the line itself names, or to one called after the header.
func (r *curlRequest) secret(name, value string) string {
	var variable string
	if m := shellVariable().FindStringSubmatch(value); m != nil {
		variable = m[1] + m[2]
		r.given = append(r.given, variable)
	} else {
		variable = "LLM_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_", " ", "_").Replace(name))
	}
	if !slices.Contains(r.secrets, variable) {
		r.secrets = append(r.secrets, variable)
	}
	return "${env." + variable + "}"
}

// finish settles what the options together mean.
func (r *curlRequest) finish() error {
	r.json = r.json || strings.HasPrefix(strings.TrimSpace(r.body), "{") && json.Valid([]byte(r.body))
	if r.method == "" {
		r.method = "GET"
		if r.body != "" {
			r.method = "POST"
		}
	}
	if r.target.User != nil {
		r.target.User = nil
		r.basicAuth()
	}
	if r.json && !json.Valid([]byte(r.body)) {
		return fmt.Errorf("--json is not valid JSON: %s", r.body)
	}
	if r.body != "" && !r.json && !slices.ContainsFunc(r.headers, func(f field) bool { return f.name == "content-type" }) {
		r.header("content-type", "application/x-www-form-urlencoded") // as curl does
	}
	if strings.Contains(r.body, "${") {
		return errors.New("the body contains ${, which a suite reads as a variable")
	}
	return nil
}

// suite writes the request as a suite with comments.
func (r *curlRequest) suite() ([]byte, error) {
	request := yaml.MapSlice{{Key: "method", Value: r.method}, {Key: "path", Value: pathOf(r.target)}}
	if query := r.query(); len(query) > 0 {
		request = append(request, yaml.MapItem{Key: "query", Value: query})
	}
	var headers yaml.MapSlice
	for _, f := range r.headers {
		if r.json && f.name == "content-type" && strings.HasPrefix(f.value, "application/json") {
			continue // what json: sends anyway
		}
		if i := slices.IndexFunc(headers, func(h yaml.MapItem) bool { return h.Key == f.name }); i >= 0 {
			return nil, fmt.Errorf("the header %s is given twice", f.name)
		}
		headers = append(headers, yaml.MapItem{Key: f.name, Value: f.value})
	}
	if len(headers) > 0 {
		request = append(request, yaml.MapItem{Key: "headers", Value: headers})
	}
	switch {
	case r.json:
		body, err := orderedJSON(numbers(r.body))
		if err != nil {
			return nil, fmt.Errorf("the body: %w", err)
		}
		request = append(request, yaml.MapItem{Key: "json", Value: body})
	case r.body != "":
		request = append(request, yaml.MapItem{Key: "body", Value: r.body})
	}
	text, err := yaml.MarshalWithOptions(request, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, curlTemplate, r.target.Scheme+"://"+r.target.Host, indented(string(text), "          ")), nil
}

func pathOf(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// query lists the parameters in the order of the URL.
func (r *curlRequest) query() yaml.MapSlice {
	var q yaml.MapSlice
	for pair := range strings.SplitSeq(r.target.RawQuery, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			name = rawName
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			value = rawValue
		}
		if isSecret(name) {
			value = r.secret(name, value)
		}
		q = append(q, yaml.MapItem{Key: name, Value: value})
	}
	return q
}

func numbers(text string) *json.Decoder {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // a float would lose digits of a large integer
	return d
}

// orderedJSON reads one value, and keeps the order of an object's members.
func orderedJSON(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := yaml.MapSlice{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := orderedJSON(d)
			if err != nil {
				return nil, err
			}
			object = append(object, yaml.MapItem{Key: name, Value: value})
		}
		_, err = d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := orderedJSON(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	}
	if number, ok := token.(json.Number); ok {
		if whole, err := number.Int64(); err == nil {
			return whole, nil
		}
		return number.Float64()
	}
	return token, nil
}

func indented(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+by)
}

// curlTemplate is the suite around a request: base URL, request.
const curlTemplate = `# A request, as a scenario. It is sent to the gateway below; with --mock-listen the
# mock provider answers behind it, and its usage is known exactly.
version: 1
suite: from-curl
backend:
  mock: { plan: { usage: 10/40 } }
target:
  url: %s
  # What you know of the gateway's limits goes here; with it, every admission and
  # rejection is judged. See docs/write-a-scenario.md, "Target".
scenarios:
  - id: from-curl
    requirement: the request of the curl line is answered
    steps:
      - send:
%s
        expect: { status: 200 }
`
