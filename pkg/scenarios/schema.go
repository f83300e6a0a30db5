package scenarios

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// schemas are the shapes that a suite can name: schema: openai/error.
//
//go:embed schemas
var schemas embed.FS

// schema checks the body against a JSON Schema.
func (v *verifier) schema(ref *suite.SchemaRef) {
	text := "schema: " + first(ref.Name, "in place")
	compiled, err := compileSchema(ref)
	if err != nil {
		v.add(text, ref.Pos, "", "", err.Error())
		return
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(v.s.x.Body))
	if err != nil {
		v.add(text, ref.Pos, "JSON", string(v.s.x.Body), "schema: the body is not JSON: "+err.Error())
		return
	}
	if err := compiled.Validate(body); err != nil {
		lines := strings.Split(err.Error(), "\n")
		v.add(text, ref.Pos, "", string(v.s.x.Body), "schema: "+strings.Join(lines[min(1, len(lines)-1):], "; "))
		return
	}
	v.add(text, ref.Pos, "", "", "")
}

func compileSchema(ref *suite.SchemaRef) (*jsonschema.Schema, error) {
	source, err := json.Marshal(ref.Inline)
	if ref.Name != "" {
		source, err = schemas.ReadFile("schemas/" + ref.Name + ".json")
		if err != nil {
			return nil, fmt.Errorf("schema: %q is not known; there are %s", ref.Name, strings.Join(schemaNames(), ", "))
		}
	}
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(source))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("suite.json", document); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return compiler.Compile("suite.json")
}

func schemaNames() []string {
	var names []string
	folders, err := schemas.ReadDir("schemas")
	if err != nil {
		return nil
	}
	for _, folder := range folders {
		files, err := schemas.ReadDir("schemas/" + folder.Name())
		if err != nil {
			continue
		}
		for _, file := range files {
			names = append(names, folder.Name()+"/"+strings.TrimSuffix(file.Name(), ".json"))
		}
	}
	slices.Sort(names)
	return names
}
