package llmapi_test

import (
	"encoding/base64"
	"errors"
	"os"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// vector is one entry of testdata/estimate.yaml, which the judge's estimator reads too.
type vector struct {
	Name          string  `yaml:"name"`
	Path          string  `yaml:"path"`
	Body          *string `yaml:"body"`
	BodyBase64    string  `yaml:"body_base64"`
	Hint          string  `yaml:"hint"`
	DefaultOutput *int64  `yaml:"default_output"`
	Want          struct {
		Prompt   int64  `yaml:"prompt"`
		Output   int64  `yaml:"output"`
		Declared bool   `yaml:"declared"`
		N        int64  `yaml:"n"`
		Error    string `yaml:"error"`
	} `yaml:"want"`
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("../../testdata/estimate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := yaml.UnmarshalWithOptions(text, &vectors, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 60 {
		t.Fatalf("found %d vectors, expected at least 60", len(vectors))
	}
	return vectors
}

func (v vector) bytes(t *testing.T) []byte {
	t.Helper()
	if v.Body != nil {
		return []byte(*v.Body)
	}
	body, err := base64.StdEncoding.DecodeString(v.BodyBase64)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestEstimateVectors(t *testing.T) {
	names := map[string]bool{}
	for _, v := range readVectors(t) {
		if names[v.Name] {
			t.Errorf("%s: the name is given twice", v.Name)
		}
		names[v.Name] = true
		t.Run(v.Name, func(t *testing.T) {
			d := llmapi.For("POST", v.Path)
			if d == nil {
				d = llmapi.Generic()
			}
			facts, err := d.ParseRequest(v.Path, v.bytes(t))
			if v.Want.Error != "" {
				if v.Want.Error != "invalid_request_body" || !errors.Is(err, llmapi.ErrInvalidBody) {
					t.Fatalf("got error %v, want %s", err, v.Want.Error)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v.Hint != "" {
				facts, _ = facts.WithHint(v.Hint)
			}
			output := int64(1000)
			if v.DefaultOutput != nil {
				output = *v.DefaultOutput
			}
			if facts.Declared {
				output = facts.Output
			}
			if facts.Prompt != v.Want.Prompt || output != v.Want.Output || facts.Declared != v.Want.Declared || facts.N != v.Want.N {
				t.Errorf("got {prompt: %d, output: %d, declared: %t, n: %d}, want %+v",
					facts.Prompt, output, facts.Declared, facts.N, v.Want)
			}
		})
	}
}
