package suite

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// SchemaRef is a JSON Schema for the body, of draft 2020-12 or draft 7: by name
// (`openai/error`), or in place. It is safe for concurrent use.
type SchemaRef struct {
	Pos    Pos
	Name   string
	Inline map[string]any

	compiled *jsonschema.Resolved
}

// Check says in what a body does not fit, or that it is not JSON.
func (r *SchemaRef) Check(body []byte) error {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	err := r.compiled.Validate(value)
	if err == nil {
		return nil
	}
	// The library tells the way to the part that does not fit; its last stop says it all.
	where, text := "", err.Error()
	for strings.HasPrefix(text, "validating ") {
		where, text, _ = strings.Cut(text, ": ")
	}
	if where = strings.TrimPrefix(where, "validating "); where != "root" && where != "" {
		text = where + ": " + text
	}
	return errors.New(text)
}

// namedSchemas are the shapes that a suite can name: schemas/openai/error.json.
//
//go:embed schemas
var namedSchemas embed.FS

func schemaNames() []string {
	files, err := fs.Glob(namedSchemas, "schemas/*/*.json")
	if err != nil {
		return nil
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(file, "schemas/"), ".json")
	}
	return files
}

func readSchemaRef(d *decoder, n *node, v reflect.Value) {
	expect := reflect.TypeFor[Expect]()
	out := SchemaRef{Pos: n.pos}
	var source []byte
	var err error
	switch {
	case n.kind == scalarNode && strings.Contains(n.text, "${"):
		d.open = true
		return
	case n.kind == scalarNode && !slices.Contains(schemaNames(), n.text):
		d.unknown(n, expect, fmt.Sprintf("no schema is called %q", n.text), n.text, schemaNames())
		return
	case n.kind == scalarNode:
		out.Name = n.text
		source, err = namedSchemas.ReadFile("schemas/" + n.text + ".json")
	case n.kind == mapNode:
		value, ok := d.free(n)
		inline, isMap := value.(map[string]any)
		if !ok || !isMap || open(n) {
			return
		}
		out.Inline = inline
		source, err = json.Marshal(inline)
	default:
		d.fail(n, expect, "found a list", "the name of a schema such as openai/error, or a JSON Schema")
		return
	}
	if err == nil {
		out.compiled, err = compileSchema(source)
	}
	if err != nil {
		d.fail(n, expect, "this is no JSON Schema: "+err.Error(), "a schema of draft 2020-12 or draft 7")
		return
	}
	v.Set(reflect.ValueOf(out))
}

func compileSchema(source []byte) (*jsonschema.Resolved, error) {
	var schema jsonschema.Schema
	if err := json.Unmarshal(source, &schema); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("%s is a %s", wrong.Field[strings.LastIndex(wrong.Field, ".")+1:], wrong.Value)
		}
		return nil, err
	}
	if err := checkSchema(&schema); err != nil {
		return nil, err
	}
	return schema.Resolve(nil)
}

// schemaTypes are the types of JSON Schema.
var schemaTypes = []string{"null", "boolean", "object", "array", "number", "string", "integer"}

// checkSchema finds what would make a schema fit everything or nothing unnoticed: the
// library takes any keyword and any type.
func checkSchema(s *jsonschema.Schema) error {
	for _, word := range slices.Sorted(maps.Keys(s.Extra)) {
		if !strings.HasPrefix(word, "x-") {
			return fmt.Errorf("unknown keyword %q", word)
		}
	}
	for _, word := range append(slices.Clone(s.Types), s.Type) {
		if word != "" && !slices.Contains(schemaTypes, word) {
			return fmt.Errorf("unknown type %q", word)
		}
	}
	// Wherever it holds schemas, it holds them in one of three ways.
	for _, field := range reflect.ValueOf(s).Elem().Fields() {
		var inside []*jsonschema.Schema
		switch below := field.Interface().(type) {
		case *jsonschema.Schema:
			inside = append(inside, below)
		case []*jsonschema.Schema:
			inside = below
		case map[string]*jsonschema.Schema:
			for _, name := range slices.Sorted(maps.Keys(below)) {
				inside = append(inside, below[name])
			}
		}
		for _, one := range inside {
			if one == nil {
				continue
			}
			if err := checkSchema(one); err != nil {
				return err
			}
		}
	}
	return nil
}
