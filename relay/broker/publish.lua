-- Publish one message: give it its position, append it to the log, send it out. One round trip, so
-- that what went out live and what is kept can never disagree.
--
-- KEYS[1] log (stream)   KEYS[2] meta (hash)   KEYS[3] where the message id's position is remembered
-- ARGV[1] channel        ARGV[2] the message: a JSON object with at least one field, no "position"
-- ARGV[3] messages kept  ARGV[4] ms that the log is kept   ARGV[5] ms that the id is remembered
--
-- Returns { position, 1 } for a new message, { position, 0 } for one that was already published.

local known = redis.call('GET', KEYS[3])
if known then
  return { known, 0 }
end

local epoch, offset
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then
  local dash = string.find(last[1], '-', 1, true)
  epoch = string.sub(last[1], 1, dash - 1)
  offset = tonumber(string.sub(last[1], dash + 1)) + 1
else
  -- A new log begins: the first, or the old one expired, was evicted or flushed. Its epoch must be
  -- higher than any before, also when the clock of a replica that took over runs behind.
  local now = redis.call('TIME')
  local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
  local before = tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0')
  if ms <= before then
    ms = before + 1
  end
  epoch = string.format('%.0f', ms)
  offset = 1
  redis.call('HSET', KEYS[2], 'epoch', epoch)
  redis.call('HDEL', KEYS[2], 'floor')
end

local position = epoch .. '-' .. string.format('%.0f', offset)
local payload = '{"position":"' .. position .. '",' .. string.sub(ARGV[2], 2)

redis.call('XADD', KEYS[1], position, 'm', payload)
if redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3]) > 0 then
  -- The floor tells a reader whether something between its position and the log's first entry was
  -- trimmed, or whether nothing was ever lost there.
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
  local dash = string.find(first, '-', 1, true)
  local floor = tonumber(string.sub(first, dash + 1)) - 1
  redis.call('HSET', KEYS[2], 'floor', epoch .. '-' .. string.format('%.0f', floor))
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('SET', KEYS[3], position, 'PX', ARGV[5])
redis.call('PUBLISH', ARGV[1], payload)
return { position, 1 }
