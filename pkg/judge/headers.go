package judge

func (c *court) judgeHeaders() {}
