"""The cache's Lua scripts: each runs in Redis as one indivisible step.

An entry is one hash per user:

    a:<asset>   "version:available:held", or "~token": emptied by the writer with this token
    w:<token>   a mark: the time (ms) at which it expires
    *           present when the entry holds all of the user's assets
    l           a lease: "token:expiry"
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from redis.exceptions import NoScriptError

_COMMON = """
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Look for marks. Where one has expired its writer died, and may have committed what it never
-- wrote here: forget everything but the marks that still live.
local function look_at_marks(key, now)
  local fields = redis.call('HGETALL', key)
  local live, expired = false, false
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'w:' then
      if tonumber(fields[i + 1]) > now then live = true else expired = true end
    end
  end
  if expired then
    for i = 1, #fields, 2 do
      local is_mark = string.sub(fields[i], 1, 2) == 'w:'
      if not (is_mark and tonumber(fields[i + 1]) > now) then
        redis.call('HDEL', key, fields[i])
      end
    end
    fields = {}
  end
  return fields, live
end

local function extend(key, ms)
  if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end
"""

READ = (
    _COMMON
    + """
local now = now_ms()
if redis.call('EXISTS', KEYS[2]) == 0 then return {'untrusted', string.format('%d', now)} end
local fields, live = look_at_marks(KEYS[1], now)
if live then return {'busy'} end
local complete, emptied, lease = false, false, nil
local hit = {'hit'}
for i = 1, #fields, 2 do
  local field, value = fields[i], fields[i + 1]
  if field == '*' then complete = true
  elseif field == 'l' then lease = value
  elseif string.sub(value, 1, 1) == '~' then emptied = true
  else
    hit[#hit + 1] = string.sub(field, 3)
    hit[#hit + 1] = value
  end
end
if complete and not emptied then return hit end
if lease and tonumber(string.match(lease, ':(%d+)$')) > now then return {'miss', ''} end
redis.call('HSET', KEYS[1], 'l', ARGV[1] .. ':' .. string.format('%d', now + ARGV[2]))
extend(KEYS[1], ARGV[2])
return {'miss', ARGV[1]}
"""
)

FILL = (
    _COMMON
    + """
local lease = redis.call('HGET', KEYS[1], 'l')
if not lease then return 0 end
local token, expiry = string.match(lease, '^(.*):(%d+)$')
if token ~= ARGV[1] or tonumber(expiry) <= now_ms() then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '*', '1')
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], 'a:' .. ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

MARK = (
    _COMMON
    + """
local expiry = string.format('%d', now_ms() + ARGV[2])
local at = 4
for _, key in ipairs(KEYS) do
  redis.call('HSET', key, 'w:' .. ARGV[1], expiry)
  redis.call('HDEL', key, 'l')
  local count = tonumber(ARGV[at])
  for i = at + 1, at + count do redis.call('HSET', key, 'a:' .. ARGV[i], '~' .. ARGV[1]) end
  at = at + count + 1
  extend(key, ARGV[3])
end
return 1
"""
)

PUBLISH = (
    _COMMON
    + """
local now = now_ms()
local note_ms = tonumber(ARGV[3])
local users, written = #KEYS, true
if note_ms > 0 then users = users - 1 end
local at = 4
for user = 1, users do
  local key = KEYS[user]
  local count = tonumber(ARGV[at])
  local mark = redis.call('HGET', key, 'w:' .. ARGV[1])
  local mine = mark and tonumber(mark) > now
  look_at_marks(key, now)
  redis.call('HDEL', key, 'w:' .. ARGV[1])
  if not mine then
    written = false
    -- The mark was lost or has expired: somebody may have filled in what was before this commit.
    redis.call('HDEL', key, '*', 'l')
    for i = 0, count - 1 do redis.call('HDEL', key, 'a:' .. ARGV[at + 1 + 3 * i]) end
  else
    for i = 0, count - 1 do
      local field = 'a:' .. ARGV[at + 1 + 3 * i]
      local version, value = ARGV[at + 2 + 3 * i], ARGV[at + 3 + 3 * i]
      local present = redis.call('HGET', key, field)
      local emptied_by_me = present == '~' .. ARGV[1]
      local older = present and string.sub(present, 1, 1) ~= '~'
        and tonumber(string.match(present, '^(%d+):')) < tonumber(version)
      if emptied_by_me or older then
        redis.call('HSET', key, field, version .. ':' .. value)
      end
    end
    extend(key, ARGV[2])
  end
  at = at + 1 + 3 * count
end
if note_ms > 0 and written then
  local t = redis.call('TIME')
  redis.call('SET', KEYS[#KEYS], t[1] .. ':' .. t[2], 'PX', note_ms)
end
return 1
"""
)

UNMARK = """
for _, key in ipairs(KEYS) do redis.call('HDEL', key, 'w:' .. ARGV[1]) end
return 1
"""

VOUCH = (
    _COMMON
    + """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if now_ms() - tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[3])
return 1
"""
)

FORGET = """
local server = redis.call('GET', KEYS[1])
redis.call('FLUSHDB')
if server then redis.call('SET', KEYS[1], server) end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
return 1
"""

ADOPT = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('FLUSHDB')
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
return 1
"""


@cache
def _digest(source: str) -> str:
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def run(redis: Any, source: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    """Run `source`: by its hash, or sent whole when the server does not know it yet."""
    try:
        return redis.evalsha(_digest(source), len(keys), *keys, *arguments)
    except NoScriptError:
        return redis.eval(source, len(keys), *keys, *arguments)
