-- Sends the requests of a plan file, each once, and prints what wrk measured as one JSON line on stderr.
--
-- wrk -t1 ... -s wrk.lua URL -- PLAN OFFSET
-- One thread only: each thread would be a Lua state of its own with the whole plan.
-- A plan has one line per sender, "H method path token", and one per request, "R sender body", tab-separated.
-- A request is one string concatenation at run time: a token is some 700 bytes and is kept once per sender.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  heads, senders, bodies = {}, {}, {}
  position, exhausted = 0, 0
  local index, offset = 0, tonumber(args[2])
  for line in io.lines(args[1]) do
    if line:byte(1) == 72 then -- H
      local method, path, token = line:match("^H\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
      local head = method .. " " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
      if token ~= "" then
        head = head .. "Authorization: Bearer " .. token .. "\r\n"
      end
      if method == "GET" then
        head = head .. "\r\n"
      else
        head = head .. "Content-Type: application/json\r\nContent-Length: "
      end
      heads[#heads + 1] = head
    else
      if index >= offset then
        local sender, body = line:match("^R\t(%d+)\t(.*)$")
        senders[#senders + 1] = tonumber(sender) + 1
        bodies[#bodies + 1] = body
      end
      index = index + 1
    end
  end
  total = #senders
end

function request()
  if position >= total then
    -- Out of requests: what follows would measure something else, so say so and stop.
    exhausted = 1
    wrk.thread:stop()
    return "GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
  end
  position = position + 1
  local head, body = heads[senders[position]], bodies[position]
  if body == "" then
    return head
  end
  return head .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency, _)
  local position, exhausted = 0, 0
  for _, thread in ipairs(threads) do
    position = position + thread:get("position")
    exhausted = exhausted + thread:get("exhausted")
  end
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"seconds":%.6f,"bytes":%d,"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,'
      .. '"bad_status":%d,"connect_errors":%d,"read_errors":%d,"write_errors":%d,"timeouts":%d,'
      .. '"position":%d,"exhausted":%s}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout,
    position, exhausted > 0 and "true" or "false"
  ))
end
