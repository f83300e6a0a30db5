package scenarios

import (
	"fmt"
	"slices"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// The control channels by which a request tells the mock its answer. The first three
// travel with the request. The others stand in the gateway's configuration, or
// nowhere, and tell no two requests apart that are under way together.
const (
	byHeader = "header"
	byMarker = "marker"
	byModel  = "model"
	byPath   = "path"
	byKey    = "key"
	byQueue  = "queue"
)

// channel is the control channel of this cell: the declared one, or of those that
// arrived the one that needs least of the gateway.
func (w *world) channel() string {
	switch declared := w.cell.Target.Control; {
	case declared != "" && declared != "auto":
		return declared
	case !w.byURL():
		return byHeader
	case len(w.channels) == 0 || slices.Contains(w.channels, byHeader) || slices.Contains(w.channels, byMarker):
		return byMarker // and the header, which is always there
	}
	return w.channels[0]
}

// isStatic tells whether a channel says nothing about a single request.
func isStatic(channel string) bool {
	return channel == byPath || channel == byKey || channel == byQueue
}

// tell makes a plan known to the mock, as the answer to the request of that id. forget
// ends that.
func (w *world) tell(id string, plan mockllm.Plan) (forget func()) {
	plan.ID = id
	w.mock.SetPlan(id, plan)
	switch w.channel() {
	case byPath, byKey:
		w.mock.SetPlan(w.namespace(), plan)
	case byQueue:
		w.mock.Enqueue("", plan)
		return func() { w.mock.DropPlan(id); w.mock.DropQueue("") }
	}
	return func() { w.mock.DropPlan(id) }
}

func (w *world) namespace() string {
	return first(w.cell.Target.Namespace, suite.DefaultNamespace)
}

// oneAtATime says why a cell cannot run where no request can be told from another;
// empty if it can.
func (w *world) oneAtATime() string {
	channel := w.channel()
	if !w.byURL() || !isStatic(channel) {
		return ""
	}
	verb := suite.Verb("")
	eachStep(w.cell.Steps, func(step *suite.Step) {
		if v := step.Verb(); v == suite.VerbLoad || v == suite.VerbParallel || v == suite.VerbHold {
			verb = v
		}
	})
	if verb == "" {
		return ""
	}
	return fmt.Sprintf("the control channel %s tells no two requests apart that are under way together, as those of %s are", channel, verb)
}

// takeTheStage makes a cell the only one at a target by URL, if its requests do not
// say whose they are. leave lets the next one in.
func (w *world) takeTheStage() (leave func()) {
	if !w.byURL() || w.o.known == nil || !isStatic(w.channel()) {
		return func() {}
	}
	w.o.known.alone.Lock()
	if w.step != nil {
		w.step()
	}
	return w.o.known.alone.Unlock
}

// useful are the channels that carried something to the mock, the best first. The
// queue needs nothing of a gateway but that it reaches the mock.
func useful(entries []mockllm.Entry) []string {
	if len(entries) == 0 {
		return nil
	}
	var channels []string
	for _, c := range []string{byMarker, byHeader, byModel, byPath, byKey} {
		if slices.Contains(entries[len(entries)-1].Channels, c) {
			channels = append(channels, c)
		}
	}
	return append(channels, byQueue)
}
