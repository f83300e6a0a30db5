package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command says what it does, shows how, and says what each flag means.
func TestEveryCommandHelps(t *testing.T) {
	t.Parallel()
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short text is %q", c.CommandPath(), c.Short)
		}
		if c.Runnable() && c.Example == "" {
			t.Errorf("%s: no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); !strings.Contains(line, "llmlimit") && !strings.HasPrefix(line, "curl") && !strings.HasPrefix(line, "#") {
				t.Errorf("%s: the example %q does not show it", c.CommandPath(), line)
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s is not explained", c.CommandPath(), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look((&app{}).root())
}

// The code that goes first is told: a load that was not delivered never hides a
// proven fault.
func TestWorst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codes []int
		want  int
	}{
		{nil, exitOK},
		{[]int{exitOK, exitOK}, exitOK},
		{[]int{exitMeasurement, exitFail}, exitFail},
		{[]int{exitRegression, exitGuard}, exitGuard},
		{[]int{exitFail, exitEnvironment}, exitEnvironment},
		{[]int{exitEnvironment, exitInvalid}, exitInvalid},
		{[]int{exitFail, exitInterrupt, exitInternal}, exitInternal},
	} {
		if got := worst(c.codes...); got != c.want {
			t.Errorf("worst(%v) = %d, expected %d", c.codes, got, c.want)
		}
	}
	page, err := os.ReadFile("../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range exitCodes {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\|[^|]*\b%d\b`, e.Code)).Match(page) {
			t.Errorf("docs/exit-codes.md does not have the code %d", e.Code)
		}
		if e.Code != exitOK && worst(e.Code, exitOK) != e.Code {
			t.Errorf("the code %d has no place in the precedence", e.Code)
		}
	}
}
