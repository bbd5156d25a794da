-- Which streaming hints, of any session, are to be looked at because their producer may have died.
--
-- KEYS[1] leases (sorted set: streaming hints by the Redis server's time in ms)
-- ARGV[1] "note": look at ARGV[3] in ARGV[2] ms
--         "claim": return up to ARGV[3] that are due; nobody else gets them for ARGV[2] ms
--         "forget": drop ARGV[3], which was claimed for ARGV[2] ms, unless it was noted anew meanwhile

local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local later = string.format('%.0f', ms + ARGV[2])
if ARGV[1] == 'note' then
  redis.call('ZADD', KEYS[1], later, ARGV[3])
  return {}
end
if ARGV[1] == 'forget' then
  local at = redis.call('ZSCORE', KEYS[1], ARGV[3])
  if at and tonumber(at) <= tonumber(later) then
    redis.call('ZREM', KEYS[1], ARGV[3])
  end
  return {}
end
local due = redis.call(
  'ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', ms), 'LIMIT', 0, ARGV[3]
)
for _, member in ipairs(due) do
  redis.call('ZADD', KEYS[1], later, member)
end
return due
