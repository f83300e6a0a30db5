package faulty_test

import (
	"fmt"

	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

func ExampleWrap() {
	cfg, err := faulty.Wrap(proxy.Config{}, "no-refund", "late-refund:delay=5s,rate=10%")
	fmt.Println(cfg.Settle != nil, err)

	_, err = faulty.Wrap(proxy.Config{}, "no-refnud")
	fmt.Println(err)
	// Output:
	// true <nil>
	// unknown fault "no-refnud"; the nearest is "no-refund"
}
