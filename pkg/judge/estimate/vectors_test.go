package estimate

import (
	"encoding/base64"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
)

// vector is one request of testdata/estimate.yaml, which the system's estimator
// has to agree on as well.
type vector struct {
	Name          string `yaml:"name"`
	Path          string `yaml:"path"`
	Body          string `yaml:"body"`
	BodyBase64    string `yaml:"body_base64"`
	Hint          string `yaml:"hint"`
	DefaultOutput *int64 `yaml:"default_output"`
	Want          struct {
		Prompt   int64  `yaml:"prompt"`
		Output   int64  `yaml:"output"`
		Declared bool   `yaml:"declared"`
		N        int64  `yaml:"n"`
		Error    string `yaml:"error"`
	} `yaml:"want"`
}

func TestSharedVectors(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../testdata/estimate.yaml")
	if err != nil {
		t.Fatalf("reading the shared vectors: %v", err)
	}
	var vectors []vector
	if err := yaml.Unmarshal(doc, &vectors); err != nil {
		t.Fatalf("reading the shared vectors: %v", err)
	}
	if len(vectors) < 50 {
		t.Fatalf("found %d vectors, expected a file full of them", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			v.check(t)
		})
	}
}

func (v *vector) check(t *testing.T) {
	t.Helper()
	body := []byte(v.Body)
	if v.BodyBase64 != "" {
		var err error
		if body, err = base64.StdEncoding.DecodeString(v.BodyBase64); err != nil {
			t.Fatal(err)
		}
	}
	f, known, err := Of(v.Path, body, v.Hint)
	if v.Want.Error != "" {
		if known && err == nil {
			t.Fatalf("got %+v, want the error %q", f, v.Want.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !known { // what a rule with on_unknown_endpoint: reserve makes of it
		f.Prompt = (f.TextBytes + 3) / 4
	}
	output := f.Output
	if !f.Declared {
		output = 1000
		if v.DefaultOutput != nil {
			output = *v.DefaultOutput
		}
	}
	if f.Prompt != v.Want.Prompt || output != v.Want.Output || f.Declared != v.Want.Declared || f.N != v.Want.N {
		t.Errorf("got P %d C %d declared %v n %d, want %+v", f.Prompt, output, f.Declared, f.N, v.Want)
	}
}
