//go:build !unix

package scenarios

// descriptorLimit is how many files this process may have open; here nobody counts.
func descriptorLimit() (limit uint64, known bool) { return 0, false }
