#include "builtins.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace softcuda {
namespace {

uint64_t read_param(Warp& warp, int lane, std::pair<uint32_t, uint32_t> place) {
  uint64_t value = 0;
  std::memcpy(&value, warp.params(lane) + place.first,
              std::min<size_t>(place.second, sizeof value));
  return value;
}

// The bytes that a generic address of a lane points to, at most `most` of them.
const char* resolve(Warp& warp, int lane, uint64_t address, uint64_t& most) {
  if (address - kLocalWindow < warp.local_bytes()) {
    most = warp.local_bytes() - (address - kLocalWindow);
    return warp.local(lane) + (address - kLocalWindow);
  }
  if (address - kSharedWindow < warp.block().shared_bytes()) {
    most = warp.block().shared_bytes() - (address - kSharedWindow);
    return warp.block().shared() + (address - kSharedWindow);
  }
  const Allocation* one = warp.block().grid().memory().find(address);
  if (one == nullptr) {
    throw Fault{Status::kIllegalAddress, "out-of-bounds read", lane,
                "an argument of a system call " + warp.block().grid().memory().describe(address)};
  }
  most = one->address + one->bytes - address;
  return one->host + (address - one->address);
}

std::string read_string(Warp& warp, int lane, uint64_t address) {
  if (address == 0) return "(null)";
  uint64_t most = 0;
  const char* text = resolve(warp, lane, address, most);
  return std::string(text, strnlen(text, most));
}

// C's printf on the packed arguments of vprintf: each at a multiple of its size.
std::string format(Warp& warp, int lane, const std::string& pattern, uint64_t arguments) {
  std::string out;
  uint64_t offset = 0;
  auto take = [&](size_t bytes) {
    offset = round_up(offset, bytes);
    uint64_t most = 0, value = 0;
    const char* from = resolve(warp, lane, arguments + offset, most);
    std::memcpy(&value, from, std::min<uint64_t>(bytes, most));
    offset += bytes;
    return value;
  };
  for (size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '%') {
      out += pattern[at++];
      continue;
    }
    std::string spec = "%";
    size_t end = at + 1;
    int longs = 0;
    std::vector<int> stars;
    while (end < pattern.size() && std::strchr("-+ #0123456789.*hlLjzt", pattern[end]) != nullptr) {
      const char c = pattern[end++];
      if (c == '*') {
        spec += std::to_string(static_cast<int>(take(4)));
      } else if (std::strchr("hLjzt", c) != nullptr || c == 'l') {
        longs += c == 'l' || c == 'j' || c == 'z' || c == 't' ? 1 : 0;
      } else {
        spec += c;
      }
    }
    const char kind = end < pattern.size() ? pattern[end++] : '\0';
    at = end;
    char buffer[512];
    int written = 0;
    if (kind == '%') {
      out += '%';
      continue;
    } else if (kind == 's') {
      out += read_string(warp, lane, take(8));
      continue;
    } else if (kind == 'p') {
      written =
          std::snprintf(buffer, sizeof buffer, "%#llx", static_cast<unsigned long long>(take(8)));
    } else if (kind == 'c') {
      written = std::snprintf(buffer, sizeof buffer, "%c", static_cast<int>(take(4)));
    } else if (kind != '\0' && std::strchr("eEfFgGaA", kind) != nullptr) {
      const uint64_t bits = take(8);
      double value;
      std::memcpy(&value, &bits, sizeof value);
      written = std::snprintf(buffer, sizeof buffer, (spec + kind).c_str(), value);
    } else if (kind != '\0' && std::strchr("diuxXo", kind) != nullptr) {
      const uint64_t bits = take(longs != 0 ? 8 : 4);
      const bool is_signed = kind == 'd' || kind == 'i';
      const long long value = longs != 0  ? static_cast<long long>(bits)
                              : is_signed ? static_cast<long long>(static_cast<int32_t>(bits))
                                          : static_cast<long long>(static_cast<uint32_t>(bits));
      written = std::snprintf(buffer, sizeof buffer, (spec + "ll" + kind).c_str(), value);
    } else {
      out += pattern.substr(at - 1 < pattern.size() ? at - 1 : pattern.size());
      continue;
    }
    if (written > 0)
      out.append(buffer, std::min<size_t>(static_cast<size_t>(written), sizeof buffer - 1));
  }
  return out;
}

}  // namespace

uint64_t clock_now(Warp& warp, bool is_timer) {
  warp.worker().note_progress();
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return static_cast<uint64_t>(is_timer ? nanoseconds : nanoseconds * 2);
}

void copy_params(const Frame& from, const std::vector<std::pair<uint32_t, uint32_t>>& sources,
                 Frame& to, const std::vector<std::pair<uint32_t, uint32_t>>& targets, Mask lanes) {
  for (size_t k = 0; k < std::min(sources.size(), targets.size()); ++k) {
    const uint32_t bytes = std::min(sources[k].second, targets[k].second);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!has_lane(lanes, lane)) continue;
      const auto l = static_cast<size_t>(lane);
      std::memcpy(to.params.data() + l * to.function->param_bytes + targets[k].first,
                  from.params.data() + l * from.function->param_bytes + sources[k].first, bytes);
    }
  }
}

const Function* find_callee(const Warp& warp, uint64_t address, int lane) {
  const auto& all = const_cast<Warp&>(warp).block().grid().launch().program->function_addresses;
  const auto found = all.find(address);
  if (found == all.end()) {
    throw Fault{Status::kInvalidPc, "invalid program counter", lane,
                "an indirect call goes to an address that is no function's"};
  }
  return found->second;
}

void call_builtin(Warp& warp, const CallOperand& operand, Mask lanes) {
  Grid& grid = warp.block().grid();
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has_lane(lanes, lane)) continue;
    auto argument = [&](size_t k) {
      return k < operand.arguments.size() ? read_param(warp, lane, operand.arguments[k]) : 0;
    };
    uint64_t result = 0;
    if (operand.builtin == "vprintf") {
      const std::string text =
          format(warp, lane, read_string(warp, lane, argument(0)), argument(1));
      std::fwrite(text.data(), 1, text.size(), stdout);
      result = text.size();
    } else if (operand.builtin == "__assertfail") {
      throw Fault{Status::kAssert, "assertion failed", lane,
                  read_string(warp, lane, argument(0)) + " in " +
                      read_string(warp, lane, argument(3)) + ", " +
                      read_string(warp, lane, argument(1)) + ":" +
                      std::to_string(static_cast<uint32_t>(argument(2)))};
    } else if (operand.builtin == "malloc") {
      try {
        result = grid.memory().allocate(argument(0), Allocation::Kind::kDevice, "", 16).address;
      } catch (const ApiError&) {
        result = 0;
      }
    } else if (operand.builtin == "free") {
      const uint64_t address = argument(0);
      try {
        if (address != 0) grid.memory().release(address);
      } catch (const ApiError&) {
        throw Fault{Status::kIllegalAddress, "bad free", lane,
                    "free was given an address that " + grid.memory().describe(address)};
      }
    }
    if (!operand.results.empty()) {
      std::memcpy(warp.params(lane) + operand.results[0].first, &result,
                  std::min<size_t>(operand.results[0].second, sizeof result));
    }
  }
}

}  // namespace softcuda
