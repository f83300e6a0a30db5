package probe

import (
	"context"
	"errors"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
)

// Gateway answers questions. It is safe for concurrent use.
type Gateway interface {
	// Ask makes one request and waits for its end. An error ends the probe:
	// [ErrBudget], or a gateway that gives no answer.
	Ask(ctx context.Context, q Question) (Answer, error)
}

// ErrBudget says that one more question would exceed the budget.
var ErrBudget = errors.New("the budget of the probe is used up")

// Question is one request. The zero Question asks for one token as nobody's client.
type Question struct {
	// Client is who asks: the same number is the same client, 0 is nobody, who
	// presents no identity.
	Client int
	// Output is the allowance that it declares, Text its prompt (the one message if
	// Parts is 0), Messages how many empty messages stand before it.
	Output   int64
	Text     string
	Messages int
	// Used is what the answer costs, in tokens of output; 0 means 1.
	Used int64
	// Ending is how the answer ends.
	Ending Ending
	// Shape is how Text is written.
	Shape Shape
	// Endpoint is the feature of another API than chat completions, or of that of the path
	// that the gateway is asked at.
	Endpoint string
	// For is how long the client waits for a provider that is [Silent].
	For time.Duration
}

// Shape is a way to write a prompt.
type Shape string

// The shapes.
const (
	AsText  Shape = ""      // the content is the text
	AsParts Shape = "parts" // a list of parts, one of which is the text
	AsTool  Shape = "tool"  // the description of a tool
	AsImage Shape = "image" // a part that is an image; Text is left out
)

// Ending is a way in which a response can end.
type Ending string

// The endings.
const (
	Whole       Ending = ""             // a whole JSON body
	Streamed    Ending = "stream"       // a whole stream
	LeftStream  Ending = "client left"  // the client leaves a stream in the middle
	LeftEarly   Ending = "left early"   // the client leaves before the headers
	ServerError Ending = "upstream 500" // an error without usage
	NoUsage     Ending = "no usage"     // a whole body without usage
	Cut         Ending = "cut stream"   // the upstream breaks off
	Silent      Ending = "silence"      // the upstream never answers
)

// Endings lists the endings that come soon, in the order in which they are probed;
// for a silent provider somebody has to be waited for.
var Endings = []Ending{Whole, Streamed, LeftStream, LeftEarly, ServerError, NoUsage, Cut}

// Answer is what came of a question.
type Answer struct {
	// Admitted: the mock saw the request.
	Admitted bool
	// Sent and Decided bound the instant of the decision.
	Sent, Decided time.Time
	// Ended is when the response was over for the client and for the mock.
	Ended  time.Time
	Status int
	Said   judge.Said
}

// Cost is what a probe has used.
type Cost struct {
	Requests int64
	Tokens   int64 // that the mock said were used
}
