-- Note something about a streaming hint while it grows; nothing is published.
--
-- KEYS[1] the streaming hint (hash)
-- ARGV[1] "renew": its producer is alive   ARGV[2] ms that it may be silent from now on
--         "cancel": a facilitator wants it to stop
--
-- Returns how it stands: "streaming", "cancelling", the status that it ended with, or "lost" when
-- nothing is known of it.

local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'streaming' then
  return status or 'lost'
end
if ARGV[1] == 'cancel' then
  redis.call('HSET', KEYS[1], 'cancel', '1')
else
  local now = redis.call('TIME')
  local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
  redis.call('HSET', KEYS[1], 'until', string.format('%.0f', ms + ARGV[2]))
end
return redis.call('HEXISTS', KEYS[1], 'cancel') == 1 and 'cancelling' or 'streaming'
