package judge

func (c *court) judgeUpstream() {}
