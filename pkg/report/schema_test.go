package report

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// generateSchema describes the model as it is today.
func generateSchema(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{Mapper: formOf, Anonymous: true, AllowAdditionalProperties: true}
	for _, pkg := range []string{"pkg/scenarios", "pkg/judge", "pkg/scenarios/suite"} {
		if err := r.AddGoComments("github.com/llmlimit/llmlimit/"+pkg, "../"+strings.TrimPrefix(pkg, "pkg/")); err != nil {
			t.Fatal(err)
		}
	}
	schema := r.Reflect(&scenarios.RunResult{})
	schema.ID = "https://llmlimit.dev/run.schema.json"
	schema.Title = "llmlimit run"
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// formOf describes the types that have a form of their own in JSON.
func formOf(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[judge.Span]():
		return &jsonschema.Schema{Description: "an amount, or [least, most]", AnyOf: []*jsonschema.Schema{
			{Type: "integer"}, {Type: "array", Items: &jsonschema.Schema{Type: "integer"}},
		}}
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "integer", Description: "nanoseconds"}
	}
	return nil
}

// The embedded schema is what the structs say today; -update writes it.
func TestSchemaIsFresh(t *testing.T) {
	fresh := generateSchema(t)
	if *update {
		if err := os.WriteFile("run.schema.json", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), fresh) {
		t.Error("run.schema.json is stale; run go test ./pkg/report -update")
	}
}

func TestRunKeepsItsSchema(t *testing.T) {
	document, err := validator.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("run.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("run.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text []byte) error {
		value, err := validator.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(value)
	}
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(text); err != nil {
		t.Errorf("what JSON writes does not keep the schema: %v", err)
	}
	wrong := bytes.Replace(text, []byte(`"seed": 42`), []byte(`"seed": "42"`), 1)
	if valid(wrong) == nil {
		t.Error("a seed that is a string keeps the schema")
	}
}
