package suite

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder fills the structs of the language from nodes. The structs are its
// field table: json tags are the keys (without omitempty: required),
// jsonschema tags the allowed words and least numbers. It reports everything
// that is wrong and goes on.
type decoder struct {
	report  func(Problem)
	lines   []string // to cut opaque pieces out of the file
	file    string
	open    bool   // a field waits for ${…}: its value is not to be trusted yet
	section string // of the docs, for what stands here
	table   map[reflect.Type]func(*decoder, *node, reflect.Value)
}

func newDecoder(file string, lines []string, report func(Problem)) *decoder {
	return &decoder{report: report, file: file, lines: lines, section: "shape", table: readers()}
}

// anchors are the sections of the docs page that explain a struct.
var anchors = map[string]string{
	"Suite": "shape", "Scenario": "scenarios", "Step": "steps", "Request": "requests", "Expect": "expect", "StreamExpect": "expect",
	"Load": "load", "Stage": "load", "LoadCancel": "load", "Share": "load", "Target": "target", "Serve": "target", "Limit": "target",
	"Identity": "target", "Backend": "the-mocks-answer", "Mock": "the-mocks-answer", "Matcher": "matchers", "Expression": "expressions",
}

// fail reports a problem at a node. What came out of an interpolation says so.
func (d *decoder) fail(n *node, t reflect.Type, message, expected string) {
	d.failNear(n, t, message, expected, "")
}

// failNear is fail where the word found may be a slip of another.
func (d *decoder) failNear(n *node, t reflect.Type, message, expected, near string) {
	p := d.problem(n, t, message)
	p.Expected, p.Nearest = expected, near
	d.report(p)
}

// unknown reports a word that is none of those known.
func (d *decoder) unknown(n *node, t reflect.Type, message, word string, known []string) {
	d.report(d.problem(n, t, message).among(word, known))
}

func (d *decoder) problem(n *node, t reflect.Type, message string) Problem {
	if n.origin != "" {
		message += " (from " + n.origin + ")"
	}
	width := 1
	if n.kind == scalarNode && !n.block && n.text != "" && n.origin == "" {
		width = utf8.RuneCountInString(n.text)
		if n.quoted {
			width += 2
		}
	}
	return Problem{Pos: n.pos, Width: width, Message: message, Anchor: d.sectionOf(t)}
}

// sectionOf is where a type is explained, else the part of the file that is
// being read.
func (d *decoder) sectionOf(t reflect.Type) string {
	if t != nil && anchors[t.Name()] != "" {
		return anchors[t.Name()]
	}
	return d.section
}

// decode fills v, which is addressable, from n.
func (d *decoder) decode(n *node, v reflect.Value, rules string) {
	t := v.Type()
	if read, ok := d.table[t]; ok {
		read(d, n, v)
		return
	}
	if t.Kind() == reflect.Pointer {
		if n.null() && t.Elem().Kind() != reflect.Struct {
			return
		}
		fresh := reflect.New(t.Elem())
		d.decode(n, fresh.Elem(), rules)
		v.Set(fresh)
		return
	}
	if n.kind == scalarNode && t.Kind() != reflect.String && t.Kind() != reflect.Interface && strings.Contains(n.text, "${") {
		d.open = true
		return
	}
	switch t.Kind() { //nolint:exhaustive // the other kinds are not of the language, and the default says so
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Slice:
		d.list(n, v, rules)
	case reflect.Map:
		d.mapping(n, v, rules)
	case reflect.Interface:
		if value, ok := d.free(n); ok && value != nil {
			v.Set(reflect.ValueOf(value))
		}
	case reflect.String:
		d.text(n, v, rules)
	case reflect.Bool:
		d.boolean(n, v)
	case reflect.Int, reflect.Int64, reflect.Uint64:
		d.integer(n, v, rules)
	case reflect.Float64:
		d.fractional(n, v)
	default:
		d.fail(n, t, "this reader has no rule for "+t.String(), "")
	}
}

// structure reads a mapping into a struct.
func (d *decoder) structure(n *node, v reflect.Value) {
	t := v.Type()
	outer := d.section
	d.section = d.sectionOf(t)
	defer func() { d.section = outer }()
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(n.pos))
	}
	if n.null() {
		n = &node{kind: mapNode, pos: n.pos}
	}
	if n.kind != mapNode {
		d.fail(n, t, "found "+describe(n), "a mapping with "+orList(keysOf(t)))
		return
	}
	for _, f := range n.fields {
		index, ok := fieldIndex(t, f.key)
		if !ok {
			message := fmt.Sprintf("unknown key %q in %s", f.key, nounOf(t))
			d.report(Problem{Pos: f.pos, Width: utf8.RuneCountInString(f.key), Message: message, Anchor: d.section}.among(f.key, keysOf(t)))
			continue
		}
		d.decode(f.value, v.Field(index), t.Field(index).Tag.Get("jsonschema"))
	}
	for i := range t.NumField() {
		key, required := keyOf(t.Field(i))
		if required && n.get(key) == nil {
			d.report(Problem{Pos: n.pos, Message: fmt.Sprintf("%s without %q", nounOf(t), key), Expected: fmt.Sprintf("the key %q", key), Anchor: d.section})
		}
	}
}

// list reads a list, or one value as a list of one.
func (d *decoder) list(n *node, v reflect.Value, rules string) {
	items := n.items
	if n.kind != listNode {
		if n.kind == mapNode || v.Type().Elem().Kind() == reflect.Slice {
			d.fail(n, v.Type().Elem(), "found "+describe(n), "a list")
			return
		}
		items = []*node{n}
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		d.decode(item, out.Index(i), rules)
	}
	if len(items) == 0 && strings.Contains(rules, "minItems=1") {
		d.fail(n, v.Type().Elem(), "found an empty list", "at least one entry")
	}
	v.Set(out)
}

func (d *decoder) mapping(n *node, v reflect.Value, rules string) {
	if n.null() {
		return
	}
	if n.kind != mapNode {
		d.fail(n, v.Type().Elem(), "found "+describe(n), "a mapping")
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, f := range n.fields {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(f.value, value, rules)
		out.SetMapIndex(reflect.ValueOf(f.key), value)
	}
	v.Set(out)
}

// free reads a value that the language does not look into.
func (d *decoder) free(n *node) (any, bool) {
	value, err := n.value()
	if err == nil {
		return value, true
	}
	at := n
	if unclear, ok := errors.AsType[*valueError](err); ok {
		at = unclear.at
	}
	d.fail(at, nil, err.Error(), "")
	return nil, false
}

func (d *decoder) text(n *node, v reflect.Value, rules string) {
	if n.kind != scalarNode || n.null() {
		d.fail(n, v.Type(), "found "+describe(n), "text")
		return
	}
	if strings.Contains(n.text, "${") {
		d.open = true
	} else if words := ruleValues(rules, "enum"); len(words) > 0 && !contains(words, n.text) {
		d.unknown(n, v.Type(), fmt.Sprintf("found %q", n.text), n.text, words)
		return
	}
	v.SetString(n.text)
}

func (d *decoder) boolean(n *node, v reflect.Value) {
	if n.kind == scalarNode && !n.quoted && (n.text == "true" || n.text == "false") {
		v.SetBool(n.text == "true")
		return
	}
	d.fail(n, v.Type(), "found "+describe(n), "true or false")
}

func (d *decoder) integer(n *node, v reflect.Value, rules string) {
	if n.kind != scalarNode || n.quoted || !integerPattern.MatchString(n.text) {
		d.fail(n, v.Type(), "found "+describe(n), "a whole number in plain decimals")
		return
	}
	if v.CanUint() {
		number, err := strconv.ParseUint(n.text, 10, 64)
		if err != nil {
			d.fail(n, v.Type(), "found "+n.text, "a number from 0 to 18446744073709551615")
			return
		}
		v.SetUint(number)
		return
	}
	number, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil {
		d.fail(n, v.Type(), n.text+" does not fit into 64 bits", "a smaller number")
		return
	}
	least := int64(0)
	if bounds := ruleValues(rules, "minimum"); len(bounds) == 1 {
		if least, err = strconv.ParseInt(bounds[0], 10, 64); err != nil {
			least = 0
		}
	}
	if words := ruleValues(rules, "enum"); len(words) > 0 && !contains(words, n.text) {
		d.unknown(n, v.Type(), "found "+n.text, n.text, words)
		return
	}
	if number < least {
		d.fail(n, v.Type(), "found "+n.text, fmt.Sprintf("%d or more", least))
		return
	}
	v.SetInt(number)
}

func (d *decoder) fractional(n *node, v reflect.Value) {
	if n.kind != scalarNode || n.quoted || !integerPattern.MatchString(n.text) && !fractionPart.MatchString(n.text) {
		d.fail(n, v.Type(), "found "+describe(n), "a number in plain decimals")
		return
	}
	number, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		d.fail(n, v.Type(), err.Error(), "")
		return
	}
	v.SetFloat(number)
}

// describe says what a node is, for "found …".
func describe(n *node) string {
	switch {
	case n.kind == listNode:
		return "a list"
	case n.kind == mapNode:
		return "a mapping"
	case n.null():
		return "nothing"
	case n.quoted:
		return fmt.Sprintf("the text %q", n.text)
	case oddNumber.MatchString(n.text) && !integerPattern.MatchString(n.text) && !fractionPart.MatchString(n.text):
		return n.text + ", which is not a plain decimal number"
	}
	return n.text
}

// nounOf names a struct in our words.
func nounOf(t reflect.Type) string {
	nouns := map[string]string{
		"Suite": "a suite", "Scenario": "a scenario", "Step": "a step", "Request": "a request", "Expect": "expect", "Mock": "backend.mock",
		"Load": "a load", "Stage": "a stage", "Share": "a mix", "Target": "the target", "Limit": "a limit", "Serve": "target.serve",
	}
	if noun := nouns[t.Name()]; noun != "" {
		return noun
	}
	if t.Name() == "" {
		return "this mapping"
	}
	return strings.ToLower(t.Name())
}

// keyOf is the key of a field, and whether a mapping must have it. Fields that
// are not of the file have none.
func keyOf(f reflect.StructField) (key string, required bool) {
	tag := f.Tag.Get("json")
	if tag == "" || tag == "-" {
		return "", false
	}
	key, options, _ := strings.Cut(tag, ",")
	return key, !strings.Contains(options, "omitempty")
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key, _ := keyOf(t.Field(i)); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func fieldIndex(t reflect.Type, key string) (int, bool) {
	for i := range t.NumField() {
		if known, _ := keyOf(t.Field(i)); known != "" && known == key {
			return i, true
		}
	}
	return 0, false
}

// ruleValues are the values of one word in a jsonschema tag: enum=a,enum=b.
func ruleValues(rules, word string) []string {
	var out []string
	for rule := range strings.SplitSeq(rules, ",") {
		if value, ok := strings.CutPrefix(rule, word+"="); ok {
			out = append(out, value)
		}
	}
	return out
}

// orList writes a choice.
func orList(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
