package mockllm

import "net/http"

type ask struct{ model string }
type providerLimits struct{}

func newProviderLimits(rpm, tpm int64) providerLimits { return providerLimits{} }

type metrics struct{}

func (m *Mock) serve(w http.ResponseWriter, r *http.Request) {}

// Admin is the admin API, rooted at /__mock/.
func (m *Mock) Admin() http.Handler { return nil }

func faultNames() []string { return nil }

// Faults lists the fault kinds with one line each, sorted by kind.
func Faults() []FaultKind { return nil }

// FaultKind is one row of the fault catalogue.
type FaultKind struct{ Name, Doc string }
