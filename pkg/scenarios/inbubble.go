package scenarios

import "context"

// InBubble runs the cells of a plan one after the other in the bubble of
// testing/synctest in which it is called, and returns their results in the order of
// the plan. It is for programs that look at many small histories and cannot afford
// a process for each. The clock of a bubble never goes back: a cell whose start has
// passed begins at once, so plans that depend on it need a bubble each. Of the
// options, Target, Faults and Header count. It starts nothing that outlives it.
func InBubble(ctx context.Context, plan *Plan, o Options) []*ScenarioResult {
	var results []*ScenarioResult
	for _, s := range plan.Suites {
		for _, cell := range s.Program.Cells {
			own := *cell
			own.Virtual = true
			results = append(results, runCell(ctx, s, &own, &o, func(LoadProgress) {}))
		}
	}
	return results
}
