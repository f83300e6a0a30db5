package faulty

import (
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// injectedEventLeaks does not recognise the event that it caused.
func injectedEventLeaks(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeDialects(cfg, func(d dialect) llmapi.Dialect { return leaking{d, t} })
}

type leaking struct {
	dialect
	trigger *Trigger
}

func (l leaking) UsageOnly(data []byte) bool {
	return l.dialect.UsageOnly(data) && !l.trigger.Strikes()
}
