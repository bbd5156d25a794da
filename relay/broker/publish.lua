-- Publish one message: give it its position, append it to the log, send it out. One round trip, so
-- that what went out live and what is kept can never disagree.
--
-- KEYS[1] log (stream)   KEYS[2] meta (hash)   KEYS[3] where the message id's position is remembered
-- ARGV[1] channel        ARGV[2] the message: a JSON object with at least one field, no "position"
-- ARGV[3] messages kept  ARGV[4] ms that the log is kept   ARGV[5] ms that the id is remembered
--
-- Returns { position, 1 } for a new message, { position, 0 } for one that was already published.
--
-- A part of a streaming hint comes with these too; KEYS[3] is not used then:
--
-- KEYS[4] the streaming hint (hash)   KEYS[5] its text so far, as it stands inside JSON quotes
-- ARGV[6] which part:
--   "open"    ARGV[2] is the hint; or, as "reopen", the hint with all its text so far, when Redis
--             has lost it
--   "append"  ARGV[2] is an append
--   "expire"  ARGV[2] is the last append's JSON up to its "at": sent if the lease has run out
-- ARGV[7] open: the hint's fields but for status and text, as JSON without braces
--         append: the text's length before
-- ARGV[8] the text that comes with it, as it stands inside JSON quotes   ARGV[9] the text's length then
-- ARGV[10] ms that the producer may be silent   ARGV[11] append: the status that ends it, or ''
--
-- Then it returns { position, new, status }: "streaming"; "cancelling" when a facilitator wants it to
-- stop; the status that it ended with; "lost" when Redis knows less of it than the caller.

-- So many pieces of a streaming hint stand in the log before its text so far takes their place.
local MAX_PIECES = 128

local message = ARGV[2]
local part = ARGV[6]
local began, newest, pieces, length, fields, ended
local now_ms, has_text = 0, true

local function time_ms()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

if not part then
  local known = redis.call('GET', KEYS[3])
  if known then
    return { known, 0 }
  end
else
  local known = redis.call(
    'HMGET', KEYS[4],
    'status', 'newest', 'length', 'began', 'pieces', 'fields', 'until', 'cancel', 'bytes'
  )
  local status = known[1]
  newest, length, began, pieces, fields = known[2], known[3], known[4], known[5], known[6]
  if status and status ~= 'streaming' then
    return { newest, 0, status }
  end
  local standing = known[8] and 'cancelling' or 'streaming'
  -- Under memory pressure Redis may have thrown the text away, and not the hash.
  has_text = tonumber(known[9] or '0') == redis.call('STRLEN', KEYS[5])
  now_ms = time_ms()
  if part == 'open' or part == 'reopen' then
    if status and has_text and (part == 'open' or length == ARGV[9]) then
      return { newest, 0, standing }
    end
    fields, length = ARGV[7], ARGV[9]
  elseif not status then
    return { '', 0, 'lost' }
  elseif part == 'expire' then
    if tonumber(known[7]) > now_ms then
      return { newest, 0, standing }
    end
    ended = 'interrupted'
    message = message .. length .. ',"text":"","status":"interrupted"}'
  else
    if tonumber(ARGV[7]) > tonumber(length) or not has_text then
      return { '', 0, 'lost' }
    elseif tonumber(ARGV[7]) < tonumber(length) then
      return { newest, 0, standing }
    end
    length = ARGV[9]
    ended = ARGV[11] ~= '' and ARGV[11] or nil
  end
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
  local ms = time_ms()
  local before = tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0')
  if last then
    -- The log goes on. Where the old epoch ended tells who comes back whether it has more than that.
    local old = string.sub(last[1], 1, dash - 1)
    before = math.max(before, tonumber(old))
    redis.call('HSET', KEYS[2], 'end:' .. old, string.sub(last[1], dash + 1))
    redis.call('HINCRBY', KEYS[2], 'before', string.sub(last[1], dash + 1))
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
  if not last then
    -- Nothing of it is trimmed, also when its first entries have made room for a text so far.
    redis.call('HSET', KEYS[2], 'floor', epoch .. '-0')
  end
end

local position = epoch .. '-' .. string.format('%.0f', offset)
local payload = '{"position":"' .. position .. '",' .. string.sub(message, 2)
local kept = payload
local replaced

if part then
  began = began or position
  local ids = {}
  for id in string.gmatch(pieces or '', '%S+') do
    ids[#ids + 1] = id
  end
  if part == 'open' or part == 'reopen' then
    redis.call('SET', KEYS[5], ARGV[8])
    replaced = ids
    pieces = position
  else
    if ARGV[8] then
      redis.call('APPEND', KEYS[5], ARGV[8])
    end
    -- The first of them has the text up to there. It must neither be trimmed away nor be followed by
    -- many pieces, for whoever comes late needs it; so its place is taken anew in good time.
    local first_epoch, first_offset = string.match(ids[1], '^(%d+)-(%d+)$')
    if
      has_text and (
        ended or #ids > math.min(MAX_PIECES, tonumber(ARGV[3]) / 4)
        or first_epoch ~= epoch or offset - tonumber(first_offset) > tonumber(ARGV[3]) / 2
      )
    then
      kept = '{"position":"' .. position .. '",' .. fields
        .. ',"status":"' .. (ended or 'streaming') .. '","began":"' .. began
        .. '","text":"' .. (redis.call('GET', KEYS[5]) or '') .. '"}'
      replaced = ids
      pieces = position
    else
      pieces = pieces .. ' ' .. position
    end
  end
end

redis.call('XADD', KEYS[1], position, 'm', kept)
if replaced and #replaced > 0 then
  redis.call('HINCRBY', KEYS[2], 'replaced', redis.call('XDEL', KEYS[1], unpack(replaced)))
end
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
if not part then
  redis.call('SET', KEYS[3], position, 'PX', ARGV[5])
elseif ended then
  -- What remains tells a producer that comes back late that it is over.
  redis.call('DEL', KEYS[4], KEYS[5])
  redis.call('HSET', KEYS[4], 'status', ended, 'newest', position)
  redis.call('PEXPIRE', KEYS[4], ARGV[4])
else
  redis.call(
    'HSET', KEYS[4], 'status', 'streaming', 'newest', position, 'length', length, 'began', began,
    'pieces', pieces, 'fields', fields, 'until', string.format('%.0f', now_ms + ARGV[10]),
    'bytes', redis.call('STRLEN', KEYS[5])
  )
  redis.call('PEXPIRE', KEYS[4], ARGV[4])
  redis.call('PEXPIRE', KEYS[5], ARGV[4])
end
redis.call('PUBLISH', ARGV[1], payload)
if part then
  local cancel = not ended and redis.call('HEXISTS', KEYS[4], 'cancel') == 1
  return { position, 1, ended or (cancel and 'cancelling' or 'streaming') }
end
return { position, 1 }
