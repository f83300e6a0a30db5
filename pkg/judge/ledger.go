package judge

func (c *court) judgeLedger() {}
