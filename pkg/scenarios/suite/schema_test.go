package suite

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write generated files anew")

// The schema beside the suites, which their first line names, and the embedded
// one are what the structs say today. `go test ./pkg/scenarios/suite -update`
// writes both.
func TestSchemaIsFresh(t *testing.T) {
	fresh, err := generateSchema("./")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"llmlimit.schema.json", "../../../scenarios/llmlimit.schema.json"} {
		if *update {
			if err := os.WriteFile(file, fresh, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		found, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(found, fresh) || !bytes.Equal(Schema(), fresh) {
			t.Errorf("%s is stale; run go test ./pkg/scenarios/suite -update", file)
		}
	}
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	fresh, err := generateSchema("./")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(fresh))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("suite.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("suite.json")
}

func asJSON(t *testing.T, src []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(src, &value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// An editor must not underline what the reader accepts, and must underline a
// misspelt key.
func TestSchemaAgreesWithReader(t *testing.T) {
	schema := compiledSchema(t)
	files, err := filepath.Glob("../../../scenarios/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "testdata/storm.yaml", "testdata/token-limit.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(asJSON(t, src)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, bad := range []string{
		"version: 1\nsuite: x\nscenaros: []\n",
		"version: 1\nsuite: x\nscenarios: [ { id: a, steps: [ { sned: {} } ] } ]\n",
		"version: 1\nsuite: x\nscenarios: [ { id: a, steps: [ { wait: { for: soon } } ] } ]\n",
		"version: 1\nsuite: x\nscenarios: [ { id: a, steps: [ { send: { plan: { timming: {} } } } ] } ]\n",
	} {
		if schema.Validate(asJSON(t, []byte(bad))) == nil {
			t.Errorf("the schema accepts\n%s", bad)
		}
	}
}
