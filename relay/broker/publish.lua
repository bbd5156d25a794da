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

-- Which process of Redis this is. After a restart, or on a replica that took over, the log may lack
-- its newest entries, and giving their positions again would hide that for ever. So every process
-- counts in an epoch of its own. (fakeredis has no INFO, and nothing to restart from either.)
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''

local epoch, offset
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local dash = last and string.find(last[1], '-', 1, true)
if last and redis.call('HGET', KEYS[2], 'run') == run then
  epoch = string.sub(last[1], 1, dash - 1)
  offset = tonumber(string.sub(last[1], dash + 1)) + 1
else
  -- The epoch must be higher than any before, also when the clock of a replica runs behind.
  local now = redis.call('TIME')
  local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
  local before = tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0')
  if last then
    -- The log goes on. Where the old epoch ended tells who comes back whether it has more than that.
    local old = string.sub(last[1], 1, dash - 1)
    before = math.max(before, tonumber(old))
    redis.call('HSET', KEYS[2], 'end:' .. old, string.sub(last[1], dash + 1))
  else
    -- The first log, or the old one expired, was evicted or flushed: nothing joins up with it.
    redis.call('DEL', KEYS[2])
  end
  if ms <= before then
    ms = before + 1
  end
  epoch = string.format('%.0f', ms)
  offset = 1
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'run', run)
end

local position = epoch .. '-' .. string.format('%.0f', offset)
local payload = '{"position":"' .. position .. '",' .. string.sub(ARGV[2], 2)

redis.call('XADD', KEYS[1], position, 'm', payload)
if redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3]) > 0 then
  -- The floor tells a reader whether something between its position and the log's first entry was
  -- trimmed, or whether nothing was ever lost there.
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
  local at = string.find(first, '-', 1, true)
  local floor = tonumber(string.sub(first, at + 1)) - 1
  redis.call(
    'HSET', KEYS[2], 'floor', string.sub(first, 1, at) .. string.format('%.0f', floor)
  )
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('SET', KEYS[3], position, 'PX', ARGV[5])
redis.call('PUBLISH', ARGV[1], payload)
return { position, 1 }
