-- Note how far facilitators were served; who was served further by another relay stays there.
--
-- KEYS[1] delivered (hash: name → position)
-- ARGV[1] ms that it is kept   ARGV[2], ARGV[3], … names and positions in turns

local function numbers(position)
  local epoch, offset = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(offset)
end

for index = 2, #ARGV, 2 do
  local epoch, offset = numbers(ARGV[index + 1])
  local known = redis.call('HGET', KEYS[1], ARGV[index])
  local is_later = true
  if known then
    local known_epoch, known_offset = numbers(known)
    is_later = epoch > known_epoch or (epoch == known_epoch and offset > known_offset)
  end
  if is_later then
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
