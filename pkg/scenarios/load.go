package scenarios

import (
	"context"
	"errors"
)

// load is many requests.
func (l *lane) load(context.Context, *stepRun) error {
	return errors.New("this build has no load generator")
}

func (l *lane) invariants(context.Context, *stepRun) {}
