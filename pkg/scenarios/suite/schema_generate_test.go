package suite

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// generateSchema makes the schema; dir is this package's folder, whose comments
// become descriptions, empty for none.
func generateSchema(dir string) ([]byte, error) {
	r := &jsonschema.Reflector{Mapper: formOf, Anonymous: true}
	if dir != "" {
		if err := r.AddGoComments("github.com/llmlimit/llmlimit/pkg/scenarios/suite", dir); err != nil {
			return nil, fmt.Errorf("reading comments: %w", err)
		}
	}
	schema := r.Reflect(&Suite{})
	schema.ID = "https://llmlimit.dev/llmlimit.schema.json"
	schema.Title = "llmlimit scenario suite"
	for _, definition := range schema.Definitions {
		allowInterpolation(definition)
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return append(text, '\n'), nil
}

const interpolated = `\$\{[^{}]*\}`

// formOf gives the types with a form of their own their schema: the counterpart
// of readerTable.
func formOf(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return pattern("a duration: 5ms, 1.5s, 1h30m", `([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+|0`)
	case reflect.TypeFor[time.Time]():
		return pattern("an instant: 2030-01-02T12:00:00Z", `[0-9]{4}-[0-9]{2}-[0-9]{2}T.*`)
	case reflect.TypeFor[Percent]():
		return anyOf(pattern("a share: 5% or 0.05", `[0-9]+(\.[0-9]+)?%?`), &jsonschema.Schema{Type: "number"})
	case reflect.TypeFor[Ramp]():
		return pattern("a rate: 20/s, or 20/s..400/s", `[0-9]+(\.[0-9]+)?/(s|m|h|d)(\.\.[0-9]+(\.[0-9]+)?/(s|m|h|d))?`)
	case reflect.TypeFor[Range]():
		return anyOf(pattern("a range: 0.25..0.5", `[0-9]+(\.[0-9]+)?(\.\.[0-9]+(\.[0-9]+)?)?`), &jsonschema.Schema{Type: "number"})
	case reflect.TypeFor[JSON]():
		return &jsonschema.Schema{Description: "merged over the defaults by RFC 7396"}
	case reflect.TypeFor[Matcher]():
		return &jsonschema.Schema{Description: "a value, /pattern/, ~substring, <5, >=5, <120ms, exists, absent, or a list of those"}
	case reflect.TypeFor[Expression]():
		return &jsonschema.Schema{Type: "string", Description: "an expression, such as res.status == 200"}
	case reflect.TypeFor[Opaque]():
		return &jsonschema.Schema{Type: "array", Description: "rules of a policy", Items: object(nil)}
	case reflect.TypeFor[Plan]():
		return planSchema()
	case reflect.TypeFor[UsageExpect]():
		matcher := &jsonschema.Schema{}
		return anyOf(words("absent", "exists"), pattern("", `[0-9]+/[0-9]+`), object(map[string]*jsonschema.Schema{"in": matcher, "out": matcher, "total": matcher}))
	case reflect.TypeFor[SchemaRef]():
		return anyOf(&jsonschema.Schema{Type: "string"}, object(nil))
	case reflect.TypeFor[Arrivals]():
		return pattern("constant, poisson, gamma(shape) or trace(file)", `constant|poisson|gamma\([0-9.]+\)|trace\(.+\)`)
	case reflect.TypeFor[Estimator]():
		return anyOf(words(EstimatorKnown, EstimatorUnknown), object(map[string]*jsonschema.Schema{"per-char": {}, "per-message": {}}))
	case reflect.TypeFor[Disconnect]():
		return anyOf(words("cancel"), object(map[string]*jsonschema.Schema{"drain": formOf(reflect.TypeFor[time.Duration]())}))
	case reflect.TypeFor[Pool]():
		return anyOf(&jsonschema.Schema{Type: "string"}, &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}})
	case reflect.TypeFor[Invariant]():
		bounds := map[string]*jsonschema.Schema{}
		for _, name := range InvariantNames {
			bounds[name] = &jsonschema.Schema{}
		}
		return anyOf(words(InvariantNames...), object(bounds))
	case reflect.TypeFor[Matrix]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: anyOf(&jsonschema.Schema{Type: "array"}, &jsonschema.Schema{Type: "string", Pattern: interpolated})}
	case reflect.TypeFor[map[string]string]():
		return anyOf(&jsonschema.Schema{Type: "object"}, &jsonschema.Schema{Type: "string", Pattern: interpolated})
	}
	return nil
}

// planSchema is the mock's own plan, or the name of one.
func planSchema() *jsonschema.Schema {
	r := &jsonschema.Reflector{DoNotReference: true, Anonymous: true, Mapper: planForm}
	plan := r.Reflect(mockllm.Plan{})
	plan.Version = ""
	return anyOf(&jsonschema.Schema{Type: "string"}, plan)
}

// planForm is [formOf] for plans, whose numbers may be distributions.
func planForm(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[mockllm.Raw](), reflect.TypeFor[mockllm.Tokens](), reflect.TypeFor[mockllm.Delay]():
		return &jsonschema.Schema{}
	case reflect.TypeFor[mockllm.Usage](), reflect.TypeFor[mockllm.Fault]():
		short := &jsonschema.Schema{Type: "string"}
		fields := (&jsonschema.Reflector{DoNotReference: true, Anonymous: true, Mapper: func(inner reflect.Type) *jsonschema.Schema {
			if inner == t {
				return nil
			}
			return planForm(inner)
		}}).ReflectFromType(t)
		fields.Version = ""
		return anyOf(short, fields)
	}
	return nil
}

func pattern(description, form string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Description: description, Pattern: "^(" + form + ")$|" + interpolated}
}

func words(list ...string) *jsonschema.Schema {
	out := &jsonschema.Schema{Type: "string"}
	for _, word := range list {
		out.Enum = append(out.Enum, word)
	}
	return out
}

func anyOf(forms ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: forms} }

// object has these properties and no others; nil allows any.
func object(properties map[string]*jsonschema.Schema) *jsonschema.Schema {
	out := &jsonschema.Schema{Type: "object"}
	if properties == nil {
		return out
	}
	out.Properties = jsonschema.NewProperties()
	for _, name := range sortedKeys(properties) {
		out.Properties.Set(name, properties[name])
	}
	out.AdditionalProperties = jsonschema.FalseSchema
	return out
}

// allowInterpolation lets ${…} stand where a number, a truth value, a list or a
// fixed word is expected, at any depth.
func allowInterpolation(definition *jsonschema.Schema) {
	for _, form := range definition.AnyOf {
		allowInterpolation(form)
	}
	if definition.Properties == nil {
		return
	}
	for pair := definition.Properties.Oldest(); pair != nil; pair = pair.Next() {
		p := pair.Value
		allowInterpolation(p)
		fixed := contains([]string{"integer", "number", "boolean", "array"}, p.Type) || p.Type == "string" && len(p.Enum) > 0
		if !fixed || contains([]string{"version", "steps", "scenarios", "include", "check"}, pair.Key) {
			continue
		}
		plain := *p
		plain.Description = ""
		*p = jsonschema.Schema{Description: p.Description, AnyOf: []*jsonschema.Schema{&plain, {Type: "string", Pattern: interpolated}}}
	}
}
