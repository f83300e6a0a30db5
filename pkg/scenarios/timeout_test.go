package scenarios

import (
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// A long load in virtual time is no hang.
func TestCellTimeout(t *testing.T) {
	cell := func(steps ...suite.Step) *unit { return &unit{cell: &suite.Cell{Steps: steps}} }
	send := suite.Step{Send: &suite.Request{}}
	many := send
	many.Repeat = 1_000_000
	for name, tc := range map[string]struct {
		units []*unit
		want  time.Duration
	}{
		"nothing is sent": {[]*unit{cell()}, 2 * time.Minute},
		"one request":     {[]*unit{cell(send)}, 2*time.Minute + 10*time.Millisecond},
		"a million":       {[]*unit{cell(send), cell(many)}, 2*time.Minute + 10_000*time.Second},
	} {
		if found := cellTimeout(tc.units); found != tc.want {
			t.Errorf("%s: found %v, expected %v", name, found, tc.want)
		}
	}
}
