"""Steps on the queues that Redis runs at once: each is one round trip where there were several.

They are sent as text, so that a Redis that was restarted knows them. Other programs can write to Redis: a job of a
wrong type counts as none, and a queue of a wrong type raises ResponseError, as every command on it does.
"""

ENQUEUE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local to = 3
if ARGV[2] == '1' then
  for each = 3, #KEYS do if redis.call('LLEN', KEYS[each]) > 0 then to = tonumber(ARGV[3]) + 2 break end end
end
redis.call('SADD', KEYS[2], KEYS[to])
redis.call('HSET', KEYS[1], 'origin', ARGV[to + 2], unpack(ARGV, #KEYS + 3))
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[to], ARGV[4])
return to - 2
"""
"""Add a job, unless there is one of its name; return the number of its queue, 0 for none.

KEYS: the job, RQ's set of queues, the queues. ARGV: seconds until the job expires; 1 if it goes into a queue of its own
where something waits, else into the first; that queue's number; the job's ID; a name for each queue; its fields.
"""

TAKE = """
for each = 2, #KEYS, 2 do
  local ids = redis.call('LRANGE', KEYS[each - 1], 0, ARGV[1] - 1)
  if #ids > 0 then
    local jobs = {}
    for number, id in ipairs(ids) do
      local fields = redis.pcall('HGETALL', ARGV[2] .. id)
      jobs[number] = fields.err and {} or fields
    end
    redis.call('RPUSH', KEYS[each], unpack(ids))
    redis.call('LTRIM', KEYS[each - 1], #ids, -1)
    return {each / 2, ids, jobs}
  end
end
return {0, {}, {}}
"""
"""Move the first jobs of the first queue that has any to its intermediate list; return the queue's number, IDs, fields.

KEYS: of each queue its list, and the intermediate one. ARGV: how many at most, the prefix of a job's key.
"""

BEGIN = """
local counts = {}
for each = 2, #KEYS do
  local count = redis.call('HGET', KEYS[1], ARGV[each])
  if not count then redis.call('HSET', KEYS[each], 'status', 'started', 'worker_name', ARGV[1]) end
  counts[each - 1] = count or ''
end
return counts
"""
"""Note that a worker has jobs, but for those that were in work when one died; return for each how many died.

KEYS: the counts of deaths, the jobs. ARGV: the worker, the key in the counts of each job's object.
"""
