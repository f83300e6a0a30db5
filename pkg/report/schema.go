package report

import _ "embed" // the schema

//go:generate go test . -run TestSchemaIsFresh -update

//go:embed run.schema.json
var runSchema []byte

// Schema is the JSON Schema of run.json. It is generated from the structs of the
// model, and a test fails when it is stale. Do not change the bytes.
func Schema() []byte { return runSchema }
