package suite

import (
	"strings"
	"testing"
)

func TestNamedSchemasAreSchemas(t *testing.T) {
	if len(schemaNames()) < 5 {
		t.Fatalf("found %v", schemaNames())
	}
	for _, name := range schemaNames() {
		source, err := namedSchemas.ReadFile("schemas/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := compileSchema(source); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefCheck(t *testing.T) {
	compiled, err := compileSchema([]byte(`{"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "properties": {"code": {"type": "string"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	ref := SchemaRef{compiled: compiled}
	for body, want := range map[string]string{
		`{"error": {"code": "x"}}`: "",
		`{}`:                       `required: missing properties: ["error"]`,
		`{"error": {"code": 7}}`:   `/properties/error/properties/code: type: 7 has type "integer", want "string"`,
		`nothing`:                  "the body is not JSON",
		``:                         "the body is not JSON",
	} {
		err := ref.Check([]byte(body))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: found %v, expected %q", body, err, want)
		}
	}
}

// A schema that fits everything or nothing by mistake is refused before anything is sent.
func TestCompileSchemaRefuses(t *testing.T) {
	for source, want := range map[string]string{
		`{"type": "objekt"}`:                                   `unknown type "objekt"`,
		`{"type": ["string", "nul"]}`:                          `unknown type "nul"`,
		`{"typ": "object"}`:                                    `unknown keyword "typ"`,
		`{"properties": {"a": {"items": {"reqired": []}}}}`:    `unknown keyword "reqired"`,
		`{"anyOf": [{"type": "string"}, {"type": "strings"}]}`: `unknown type "strings"`,
		`{"required": "error"}`:                                "required is a string",
		`{"pattern": "("}`:                                     "missing closing )",
		`{"$ref": "http://127.0.0.1/x"}`:                       "no loader",
		`{"$ref": "#/$defs/a"}`:                                `no key "a"`,
	} {
		if _, err := compileSchema([]byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, expected %q", source, err, want)
		}
	}
	if _, err := compileSchema([]byte(`{"x-note": "ours", "type": "object"}`)); err != nil {
		t.Error(err)
	}
}
