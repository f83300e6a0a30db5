// Package suite is the scenario language: it reads, checks and plans suite
// files. It is pure: no network, no clock, no environment, no goroutine.
//
// Think of it as a small compiler.
//
//	bytes ── Read ──► Suite ── Plan ──► []Cell ── Step.Bind ──► Step
//	           │                 │
//	           └── Problems ◄────┘
//
// [Read] turns a file into a [Suite]: the tree that the author wrote, typed,
// with the position of everything that a result may point at. [Compile]
// selects scenarios, expands each matrix into cells, merges the defaults,
// interpolates all names that are known before the run and compiles every
// expression against the types of that very cell. What is known only during
// the run (`${save.x}`, `${i}`) waits for [Step.Bind].
//
// The Go structs of this package are the language: their json tags are the
// keys, their jsonschema tags the allowed words. The reader, the suggestions
// for a misspelt key and the JSON Schema for editors all walk the same structs,
// so a new key is one field.
//
// Nothing here knows the system under test: `target.serve.rules` passes through
// as bytes, to be read by the target and, on its own, by the judge.
package suite
