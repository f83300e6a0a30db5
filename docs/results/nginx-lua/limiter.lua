-- A token limiter in a few dozen lines, as people write them: it reserves before a
-- request and is meant to give back afterwards what was not used. It forgets to.
local cjson = require "cjson.safe"
local store = ngx.shared.budget

local LIMIT, WINDOW = 10000, 60
local M = {}

local function reject(retry)
  ngx.status = 429
  ngx.header["Content-Type"] = "application/json"
  if retry then ngx.header["Retry-After"] = math.max(1, math.ceil(retry)) end
  ngx.say(cjson.encode { error = { message = "Rate limit reached", type = "rate_limit_error", code = "tpm_exceeded", param = cjson.null } })
  return ngx.exit(429)
end

-- A token bucket: the level and when it was last right.
local function level(key, now)
  local tokens, at = store:get(key), store:get(key .. "@")
  if not tokens then return LIMIT end
  return math.min(LIMIT, tokens + (now - at) * LIMIT / WINDOW)
end

function M.access()
  ngx.req.read_body()
  local body = cjson.decode(ngx.req.get_body_data() or "") or {}
  local key = ngx.var.http_x_tenant
  if not key then return ngx.exit(401) end
  local prompt = 0
  for _, m in ipairs(body.messages or {}) do
    prompt = prompt + 4 + math.ceil(#tostring(m.content or "") / 4)
  end
  local cost = prompt + (tonumber(body.max_tokens) or 1000)
  if cost > LIMIT then return reject(nil) end
  local now = ngx.now()
  local left = level(key, now)
  if left < cost then return reject((cost - left) * WINDOW / LIMIT) end
  store:set(key, left - cost)
  store:set(key .. "@", now)
  ngx.ctx.cost = cost
end

-- Called when the response has ended. The usage is read, and then nothing is done.
function M.log()
  local refund = (ngx.ctx.cost or 0) - (ngx.ctx.used or 0)
  ngx.ctx.refund = refund
end

return M
