package suite

import _ "embed" // the schema

//go:generate go test . -run TestSchemaIsFresh -update

//go:embed llmlimit.schema.json
var embedded []byte

// Schema is the JSON Schema of suite files, for editors. It is generated from
// the structs of this package, and a test fails when it is stale. It is looser
// than [Read]: it knows no names and no expressions. Do not change the bytes.
func Schema() []byte { return embedded }
