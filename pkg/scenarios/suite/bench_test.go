package suite

import (
	"os"
	"testing"
)

// Reading and compiling must not be felt: a suite is compiled again in each
// child process of a run.
func BenchmarkCompile(b *testing.B) {
	src, err := os.ReadFile("../../../scenarios/refunds.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, _ := Read("refunds.yaml", src, nil)
		p, problems := Compile(s, Options{})
		if p == nil {
			b.Fatal(problems)
		}
	}
}

func BenchmarkBindRequest(b *testing.B) {
	s, _ := Read("s.yaml", []byte(running), nil)
	p, _ := Compile(s, Options{})
	request := p.Cells[0].Steps[3].Load.Request
	b.ReportAllocs()
	for b.Loop() {
		if _, err := request.Bind(Runtime{I: 5}); err != nil {
			b.Fatal(err)
		}
	}
}
