"""Changes of the worklist's index that Redis runs in one step.

KEYS are in the order of ``index_keys.KEYS``:
1-3 the lists by priority, 4 entries, 5 places, 6 read, 7 read-at, 8 changes, 9 tagged,
10 accession numbers, 11 changed studies. ARGV[1] is the study.

Other programs can write to Redis: unreadable content counts as absent and stops nothing.
"""

# The position of a study. An unreadable one, and one of another study, count as none: a change of this study moves no
# other. What is left of such a position is removed by the sweep.
_PLACED = """
local sequence, tagged_at, number, member
local place = redis.call('HGET', KEYS[5], ARGV[1])
if place then sequence, tagged_at, number, member = place:match('^(%d+) (%S+) ([123]) (%S+)$') end
if member and member:sub(-#ARGV[1] - 1) ~= '|' .. ARGV[1] then sequence, tagged_at, number, member = nil end
"""

_ENTRY = """
local function readable(text)
  if not text then return {} end
  local fine, value = pcall(cjson.decode, text)
  if fine and type(value) == 'table' then return value end
  return {}
end
local entry = readable(redis.call('HGET', KEYS[4], ARGV[1]))
"""

# The accession number of an indexed study is in its entry: the member that was added is removed.
_FORGET_ACCESSION = """
if type(entry.accession_number) == 'string' and entry.accession_number ~= '' then
  redis.call('ZREM', KEYS[10], entry.accession_number .. '\\n' .. ARGV[1])
end
"""

_OUT_OF_THE_LISTS = """
if member then for each = 1, 3 do redis.call('ZREM', KEYS[each], member) end end
"""

# Counts the change, and notes under its number which study changed: those who hold a copy of the list read no other.
_CHANGED = """
local count = redis.call('INCR', KEYS[8])
redis.call('ZADD', KEYS[11], count, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[11], 0, -10001)
"""

# Moves a study to its position. A decision older than the indexed one changes nothing, so that a rebuild may run while
# the workers run; with force it does, for the sweep, which holds the study's lock. The sequence tells which is older,
# and not a clock, which may have been set back. ARGV: study, tagged_at, number of the list, member, entry, revision,
# accession number, sequence, force.
PUT = f"""
{_PLACED}
if sequence and ARGV[9] ~= '1' then
  local ours, theirs = tonumber(ARGV[8]), tonumber(sequence)
  if theirs > ours or (theirs == ours and (tonumber(tagged_at) or 0) > tonumber(ARGV[2])) then return 0 end
end
{_OUT_OF_THE_LISTS}
for each = 1, 3 do redis.call('ZREM', KEYS[each], ARGV[4]) end
{_ENTRY}
{_FORGET_ACCESSION}
if ARGV[7] ~= '' then redis.call('ZADD', KEYS[10], 0, ARGV[7] .. '\\n' .. ARGV[1]) end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[5])
redis.call('HSET', KEYS[5], ARGV[1], ARGV[8] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
if redis.call('HGET', KEYS[6], ARGV[1]) ~= ARGV[6] then
  redis.call('ZADD', KEYS[tonumber(ARGV[3])], 0, ARGV[4])
  redis.call('ZREM', KEYS[7], ARGV[1])
end
redis.call('ZADD', KEYS[9], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[9], '-inf', tonumber(ARGV[2]) - 3600)
{_CHANGED}
return 1
"""

REMOVE = f"""
{_PLACED}
{_ENTRY}
redis.call('HDEL', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('ZREM', KEYS[9], ARGV[1])
{_OUT_OF_THE_LISTS}
{_FORGET_ACCESSION}
local known = redis.call('HDEL', KEYS[4], ARGV[1]) + redis.call('HDEL', KEYS[5], ARGV[1])
if known == 0 then return 0 end
{_CHANGED}
return 1
"""

# Removes a study from the list, if the revision that was read is the listed one. ARGV: study, revision, read_at.
READ = f"""
redis.call('HSET', KEYS[6], ARGV[1], ARGV[2])
{_CHANGED}
{_ENTRY}
if type(entry.revision) == 'string' and entry.revision ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[7], ARGV[3], ARGV[1])
{_PLACED}
{_OUT_OF_THE_LISTS}
return 1
"""

UNREAD = f"""
redis.call('HDEL', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
{_CHANGED}
{_PLACED}
if not sequence then return 0 end
return redis.call('ZADD', KEYS[tonumber(number)], 0, member)
"""

# Tells those who show the list that something else of a study has changed: its workitem.
TOUCH = _CHANGED

FINISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

# The places in ARGV (from 1) of the studies that lack an entry (KEYS[1]) or a position (KEYS[2]).
MISSING = """
local missing = {}
for at, uid in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[1], uid) == 0 or redis.call('HEXISTS', KEYS[2], uid) == 0 then
    missing[#missing + 1] = at
  end
end
return missing
"""
