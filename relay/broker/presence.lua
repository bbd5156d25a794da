-- Who is watching a session: note what one worker says, and tell everybody when the whole changed.
--
-- KEYS[1] presence (hash: worker → "<until ms> <count> <names>"; '' → what was told last)
-- ARGV[1] channel   ARGV[2] worker; '' to ask only
-- ARGV[3] how many facilitators it has   ARGV[4] their names, JSON strings separated by line feeds
-- ARGV[5] ms that this holds             ARGV[6] how many names are told
--
-- Returns { facilitators, the presence message, whether it was told just now }.

local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
if ARGV[2] ~= '' then
  if tonumber(ARGV[3]) > 0 then
    local holds_until = string.format('%.0f', ms + ARGV[5])
    redis.call('HSET', KEYS[1], ARGV[2], holds_until .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
  else
    redis.call('HDEL', KEYS[1], ARGV[2])
  end
end

local told, count, names, seen = '', 0, {}, {}
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  if all[index] == '' then
    told = all[index + 1]
  else
    local holds_until, here, list = string.match(all[index + 1], '^(%d+) (%d+) (.*)$')
    if tonumber(holds_until) <= ms then
      redis.call('HDEL', KEYS[1], all[index])
    else
      count = count + tonumber(here)
      for name in string.gmatch(list, '[^\n]+') do
        if seen[name] then
          -- One person on two relays: two windows, or a reconnect that the old relay has not noticed.
          count = count - 1
        else
          seen[name] = true
          names[#names + 1] = name
        end
      end
    end
  end
end
table.sort(names)
while #names > tonumber(ARGV[6]) do
  names[#names] = nil
end

local message = '{"type":"presence","facilitators":' .. string.format('%.0f', count)
  .. ',"who":[' .. table.concat(names, ',') .. ']}'
if message == told or (told == '' and count == 0) then
  if ARGV[2] ~= '' then
    redis.call('PEXPIRE', KEYS[1], 10 * ARGV[5])
  end
  return { count, message, 0 }
end
redis.call('HSET', KEYS[1], '', message)
redis.call('PEXPIRE', KEYS[1], 10 * ARGV[5])
redis.call('PUBLISH', ARGV[1], message)
return { count, message, 1 }
