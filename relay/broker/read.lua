-- Read a stretch of a session's log together with where the log stands, in one consistent look.
--
-- KEYS[1] log (stream)   KEYS[2] meta (hash)
-- ARGV[1] the position after which to read, or '' for the log's beginning
-- ARGV[2] how many entries at the most
--
-- Returns { head or '', floor or '', { payload, … } }: the newest position, the position up to
-- which (itself included) entries have been trimmed, and the entries, oldest first.

local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then
  return { '', '', {} }
end
local from = '-'
if ARGV[1] ~= '' then
  from = '(' .. ARGV[1]
end
local payloads = {}
for index, entry in ipairs(redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[2])) do
  payloads[index] = entry[2][2]
end
return { last[1], redis.call('HGET', KEYS[2], 'floor') or '', payloads }
