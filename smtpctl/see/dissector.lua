-- Wireshark: what passes between the processes of smtpd, out of captures made by "smtpctl capture".
-- Made from the catalogue of messages; do not edit. Into the folder "Personal Lua Plugins" of Help, About, Folders;
-- or: tshark -X lua_script:FILE -r CAPTURE

local DIGEST = --[[DIGEST]]
local ENDS = { --[[ENDS]] }
local KINDS = {
--[[KINDS]]
}

local OUT, DESCRIPTOR, HANDLED, WITHHELD = 1, 2, 4, 8

local smtpd = Proto("smtpd", "smtpd processes")
smtpd.fields = {}

local function field(make, abbreviation, ...)
  local made = make("smtpd." .. abbreviation, ...)
  table.insert(smtpd.fields, made)
  return made
end

local f = {
  flags = field(ProtoField.uint8, "flags", "Flags", base.HEX),
  seen = field(ProtoField.string, "seen", "Seen"),
  sender = field(ProtoField.string, "sender", "Sender"),
  receiver = field(ProtoField.string, "receiver", "Receiver"),
  kind = field(ProtoField.string, "kind", "Kind"),
  number = field(ProtoField.uint32, "number", "Number", base.HEX),
  length = field(ProtoField.uint32, "length", "Length of the frame"),
  descriptor = field(ProtoField.bool, "descriptor", "With a descriptor"),
  peerid = field(ProtoField.uint32, "peerid", "peerid"),
  pid = field(ProtoField.uint32, "pid", "Pid of the sender"),
  handled = field(ProtoField.uint64, "handled", "The handler took (ns)"),
  session = field(ProtoField.string, "session", "Session"),
  msgid = field(ProtoField.string, "msgid", "Message"),
  evpid = field(ProtoField.string, "evpid", "Envelope"),
  request_in = field(ProtoField.framenum, "request_in", "Replies to the request in", base.NONE, frametype.REQUEST),
  reply_in = field(ProtoField.framenum, "reply_in", "Reply in", base.NONE, frametype.RESPONSE),
  elapsed = field(ProtoField.relative_time, "elapsed", "Since the request"),
  malformed = field(ProtoField.string, "malformed", "Not as declared"),
}
local GENERATED = { session = f.session, msgid = f.msgid, evpid = f.evpid, evpids = f.evpid }

-- a field of its own for every field of every kind, nested ones by the path of their names
local function declare(fields, path)
  for _, one in ipairs(fields) do
    local here = path .. "." .. one.name
    if one.base == "tuple" then
      one.proto = field(ProtoField.string, here, one.name)
      declare(one.fields, here)
    elseif one.base == "list" then
      one.proto = field(ProtoField.string, here, one.name)
      if one.item.base == "tuple" then
        declare(one.item.fields, here)
      else
        one.item.proto = one.proto
      end
    else
      one.proto = field(ProtoField.string, here, one.name)
    end
  end
end
for _, kind in pairs(KINDS) do
  declare(kind.fields, kind.name)
end

-- msgpack: value(tvb, at) gives what is there, what it is, and where the next begins
local function number_at(tvb, at, bytes, signed)
  local range = tvb(at, bytes)
  if bytes == 8 then
    return signed and range:int64() or range:uint64()
  end
  return signed and range:int() or range:uint()
end

local function value(tvb, at)
  local first = tvb(at, 1):uint()
  at = at + 1
  if first <= 0x7f then return first, "int", at end
  if first >= 0xe0 then return first - 0x100, "int", at end
  if first >= 0xa0 and first <= 0xbf then return first - 0xa0, "str", at end
  if first >= 0x90 and first <= 0x9f then return first - 0x90, "array", at end
  if first == 0xc0 then return nil, "nil", at end
  if first == 0xc2 or first == 0xc3 then return first == 0xc3, "bool", at end
  if first >= 0xcc and first <= 0xcf then
    local bytes = 2 ^ (first - 0xcc)
    return number_at(tvb, at, bytes), "int", at + bytes
  end
  if first >= 0xd0 and first <= 0xd3 then
    local bytes = 2 ^ (first - 0xd0)
    return number_at(tvb, at, bytes, true), "int", at + bytes
  end
  if first >= 0xc4 and first <= 0xc6 then
    local bytes = 2 ^ (first - 0xc4)
    return number_at(tvb, at, bytes), "bytes", at + bytes
  end
  if first >= 0xd9 and first <= 0xdb then
    local bytes = 2 ^ (first - 0xd9)
    return number_at(tvb, at, bytes), "str", at + bytes
  end
  if first == 0xdc or first == 0xdd then
    local bytes = 2 ^ (first - 0xdb)
    return number_at(tvb, at, bytes), "array", at + bytes
  end
  error(string.format("byte 0x%02x is no msgpack of ours", first))
end

local function in_hex(number, digits)
  if type(number) == "userdata" then
    return string.lower(number:tohex(digits))
  end
  return string.format("%0" .. digits .. "x", number)
end

-- shows one value below `tree`; the text of it, and where the next begins
local show
local function show_fields(fields, count, tvb, at, tree)
  if count ~= #fields then
    error(string.format("%d fields, not %d", count, #fields))
  end
  local words = {}
  for _, one in ipairs(fields) do
    local text
    text, at = show(one, tvb, at, tree)
    table.insert(words, one.name .. "=" .. text)
  end
  return table.concat(words, " "), at
end

show = function(one, tvb, start, tree)
  local found, what, at = value(tvb, start)
  if what == "nil" then
    tree:add(one.proto, tvb(start, at - start), "-")
    return "-", at
  end
  if what == "array" then
    local begin = start
    local branch = one.proto and tree:add(one.proto, tvb(start, 1)) or tree
    if one.base == "tuple" then
      local text
      text, at = show_fields(one.fields, found, tvb, at, branch)
      if one.fields[1] and one.fields[1].name == "user" and #one.fields == 2 then
        text = text:gsub("user=", "", 1):gsub(" domain=", "@", 1)
      else
        text = "(" .. text .. ")"
      end
      if one.proto then
        branch:set_text(one.name .. ": " .. text)
        branch:set_len(at - begin)
      end
      return text, at
    end
    if one.base ~= "list" then
      error(one.name .. ": an array")
    end
    local words = {}
    for _ = 1, found do
      local text
      text, at = show(one.item, tvb, at, branch)
      table.insert(words, text)
    end
    branch:set_text(one.name .. ": " .. found .. " of them")
    branch:set_len(at - begin)
    return "[" .. table.concat(words, ", ") .. "]", at
  end
  local text
  if what == "str" then
    local length = found
    text = length > 0 and tvb(at, length):string(ENC_UTF_8) or ""
    at = at + length
  elseif what == "bytes" then
    text = "<" .. found .. " bytes>"
    at = at + found
  elseif what == "bool" then
    text = found and "yes" or "no"
  elseif one.hex then
    text = in_hex(found, one.hex)
  else
    text = tostring(found)
  end
  if one.secret then
    text = "***"
  end
  tree:add(one.proto, tvb(start, at - start), text)
  if one.hex and GENERATED[one.name] and not text:match("^0+$") then
    tree:add(GENERATED[one.name], tvb(start, at - start), text):set_generated()
  end
  return text, at
end

-- requests and replies: who asked whom under which number, in the order of the frames
local asked, answers = {}, {}
function smtpd.init()
  asked, answers = {}, {}
end

local is_reply = {}
for _, kind in pairs(KINDS) do
  if kind.reply ~= 0 then
    is_reply[kind.reply] = true
  end
end

local function note_partner(kind, sender, receiver, peerid, tvb, pinfo)
  if pinfo.visited then
    return
  end
  if kind.reply ~= 0 then
    asked[sender .. ">" .. receiver .. "#" .. peerid] = { frame = pinfo.number, time = pinfo.abs_ts, reply = kind.reply }
  elseif is_reply[kind.number] then
    local _, _, at = value(tvb, 24)
    local reqid = value(tvb, at)
    local key = receiver .. ">" .. sender .. "#" .. tostring(reqid)
    local request = asked[key]
    if request and request.reply == kind.number then
      asked[key] = nil
      answers[pinfo.number] = { request = request.frame, elapsed = pinfo.abs_ts - request.time }
      answers[request.frame] = { reply = pinfo.number }
    end
  end
end
for number, kind in pairs(KINDS) do
  kind.number = number
end

local function show_partner(pinfo, tree)
  local answer = answers[pinfo.number]
  if not answer then
    return
  end
  if answer.reply then
    tree:add(f.reply_in, answer.reply):set_generated()
  else
    tree:add(f.request_in, answer.request):set_generated()
    local seconds = math.floor(answer.elapsed)
    tree:add(f.elapsed, NSTime.new(seconds, math.floor((answer.elapsed - seconds) * 1e9))):set_generated()
  end
end

local function end_name(tvb, at)
  local name = ENDS[tvb(at, 1):uint()] or "?"
  local instance = tvb(at + 1, 1):uint()
  return instance == 0 and name or name .. instance
end

function smtpd.dissector(tvb, pinfo, root)
  if tvb:len() < 24 or tvb(0, 1):uint() ~= 1 then
    return 0
  end
  local flags = tvb(1, 1):uint()
  local sender, receiver = end_name(tvb, 2), end_name(tvb, 4)
  local number = tvb(8, 4):le_uint()
  local kind = KINDS[number]
  local name = kind and kind.name or string.format("message 0x%04x", number)
  local peerid = tvb(16, 4):le_uint()
  local has = function(flag) return math.floor(flags / flag) % 2 == 1 end

  pinfo.cols.protocol = "smtpd"
  pinfo.cols.src = sender
  pinfo.cols.dst = receiver
  local tree = root:add(smtpd, tvb(), "smtpd: " .. sender .. " -> " .. receiver .. " " .. name)
  tree:add(f.flags, tvb(1, 1))
  tree:add(f.seen, tvb(1, 1), has(HANDLED) and "handled" or has(OUT) and "sent" or "received")
  tree:add(f.sender, tvb(2, 2), sender)
  tree:add(f.receiver, tvb(4, 2), receiver)
  tree:add(f.kind, tvb(8, 4), name)
  tree:add_le(f.number, tvb(8, 4))
  tree:add_le(f.length, tvb(12, 4))
  tree:add(f.descriptor, tvb(1, 1), has(DESCRIPTOR))
  tree:add_le(f.peerid, tvb(16, 4))
  tree:add_le(f.pid, tvb(20, 4))
  if has(HANDLED) then
    tree:add_le(f.handled, tvb(24, 8))
    pinfo.cols.info = string.format("%s handled %s in %s ns", receiver, name, tostring(tvb(24, 8):le_uint64()))
    return tvb:len()
  end
  if has(WITHHELD) then
    pinfo.cols.info = name .. " (sent)"
    return tvb:len()
  end
  local info = name
  if kind then
    local done, trouble = pcall(function()
      local count, what, at = value(tvb, 24)
      if what ~= "array" then
        error("no array")
      end
      local text
      text, at = show_fields(kind.fields, count, tvb, at, tree)
      if at ~= tvb:len() then
        error("more bytes than fields")
      end
      info = info .. " " .. text
      note_partner(kind, sender, receiver, peerid, tvb, pinfo)
    end)
    if not done then
      tree:add(f.malformed, tostring(trouble)):add_expert_info(PI_MALFORMED, PI_ERROR, "not as declared")
    end
  end
  show_partner(pinfo, tree)
  pinfo.cols.info = info
  return tvb:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, smtpd)
set_plugin_info({ version = "1", description = "smtpd processes, catalogue " .. DIGEST, repository = "" })
