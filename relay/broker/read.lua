-- Read a stretch of a session's log together with where the log stands, in one consistent look.
--
-- KEYS[1] log (stream)   KEYS[2] meta (hash)
-- ARGV[1] the position after which to read, or '' for the log's beginning
-- ARGV[2] how many entries at the most
--
-- Returns { head or '', floor or '', end or '', whole, last or '', { payload, … } }: the newest position; the
-- position up to which (itself included) entries have been trimmed; the last offset of the epoch of
-- ARGV[1] when that epoch is over and the log went on from it; 1 when reading began at the log's
-- beginning, also because it knows nothing of the epoch of ARGV[1]; the id of the last entry that is
-- returned, from where the next page goes on; the entries, oldest first.

local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then
  return { '', '', '', 1, '', {} }
end

local from, whole, ended = '-', 1, ''
if ARGV[1] ~= '' then
  local epoch = string.sub(ARGV[1], 1, string.find(ARGV[1], '-', 1, true) - 1)
  local current = string.sub(last[1], 1, string.find(last[1], '-', 1, true) - 1)
  ended = redis.call('HGET', KEYS[2], 'end:' .. epoch) or ''
  if epoch == current or ended ~= '' then
    from, whole = '(' .. ARGV[1], 0
  end
end

local known = redis.call('HMGET', KEYS[2], 'floor', 'before', 'replaced')
local floor = known[1]
if floor and string.sub(floor, -2) == '-0' then
  -- Nothing was trimmed by us. All that were published, but for the pieces of streaming hints that
  -- others took the place of, are still here; or somebody else has trimmed the log.
  local offset = tonumber(string.sub(last[1], string.find(last[1], '-', 1, true) + 1))
  local published = offset + tonumber(known[2] or '0')
  local whole_log = published - tonumber(known[3] or '0') == redis.call('XLEN', KEYS[1])
  floor = whole_log and ''
end
if not floor then
  -- The hash was evicted, or entries were trimmed by others, and nobody knows up to where. A log that
  -- does not begin with number 1 of its first epoch is taken for a trimmed one: better a notice too
  -- many than a loss in silence.
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
  local at = string.find(first, '-', 1, true)
  local offset = tonumber(string.sub(first, at + 1))
  floor = (offset > 1 or known[2])
    and string.sub(first, 1, at) .. string.format('%.0f', offset - 1) or ''
end

local payloads, reached = {}, ''
for index, entry in ipairs(redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[2])) do
  payloads[index] = entry[2][2]
  reached = entry[1]
end
return { last[1], floor, ended, whole, reached, payloads }
