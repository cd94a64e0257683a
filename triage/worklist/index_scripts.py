"""What the worklist's index does in one step, as Redis runs it. KEYS are in the order of ``worklist.KEYS``:

1-3 the lists by priority, 4 entries, 5 places, 6 read, 7 read-at, 8 changes, 9 tagged,
10 accession numbers. ARGV[1] is the study.
"""

# The accession number of an indexed study is in its entry: what is taken out is what was put in.
_FORGET_ACCESSION = """
local known = redis.call('HGET', KEYS[4], ARGV[1])
if known then
  local number = cjson.decode(known).accession_number
  if number ~= '' then redis.call('ZREM', KEYS[10], number .. '\\n' .. ARGV[1]) end
end
"""

# Moves a study to its place. A decision older than the one indexed changes nothing, so that a rebuild may run beside
# the workers. ARGV: study, tagged_at, list, member, entry, revision, accession number.
PUT = f"""
local place = redis.call('HGET', KEYS[5], ARGV[1])
if place then
  local tagged_at, list, member = place:match('^(%S+) (%S+) (%S+)$')
  if tonumber(tagged_at) > tonumber(ARGV[2]) then return 0 end
  redis.call('ZREM', list, member)
end
{_FORGET_ACCESSION}
if ARGV[7] ~= '' then redis.call('ZADD', KEYS[10], 0, ARGV[7] .. '\\n' .. ARGV[1]) end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[5])
redis.call('HSET', KEYS[5], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
if redis.call('HGET', KEYS[6], ARGV[1]) ~= ARGV[6] then
  redis.call('ZADD', ARGV[3], 0, ARGV[4])
  redis.call('ZREM', KEYS[7], ARGV[1])
end
redis.call('ZADD', KEYS[9], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[9], '-inf', tonumber(ARGV[2]) - 3600)
redis.call('INCR', KEYS[8])
return 1
"""

REMOVE = f"""
redis.call('HDEL', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('ZREM', KEYS[9], ARGV[1])
local place = redis.call('HGET', KEYS[5], ARGV[1])
if not place then return 0 end
local tagged_at, list, member = place:match('^(%S+) (%S+) (%S+)$')
redis.call('ZREM', list, member)
{_FORGET_ACCESSION}
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('INCR', KEYS[8])
return 1
"""

# Takes a study off the list, if what was read is what is listed. ARGV: study, revision, read_at.
READ = """
redis.call('HSET', KEYS[6], ARGV[1], ARGV[2])
redis.call('INCR', KEYS[8])
local entry = redis.call('HGET', KEYS[4], ARGV[1])
if entry and cjson.decode(entry).revision ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[7], ARGV[3], ARGV[1])
local place = redis.call('HGET', KEYS[5], ARGV[1])
if not place then return 0 end
local tagged_at, list, member = place:match('^(%S+) (%S+) (%S+)$')
return redis.call('ZREM', list, member)
"""

UNREAD = """
redis.call('HDEL', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('INCR', KEYS[8])
local place = redis.call('HGET', KEYS[5], ARGV[1])
if not place then return 0 end
local tagged_at, list, member = place:match('^(%S+) (%S+) (%S+)$')
return redis.call('ZADD', list, 0, member)
"""

FINISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
