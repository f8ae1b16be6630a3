#include "builtins.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "heap.h"
#include "print.h"

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
  const bool has_local = warp.local(0) != nullptr;
  if (has_local && address - kLocalWindow < warp.local_bytes()) {
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

}  // namespace

uint64_t clock_now(Warp& warp, bool is_timer) {
  warp.worker().note_clock_read();
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

void read_bytes(Warp& warp, int lane, uint64_t address, void* to, size_t bytes) {
  uint64_t most = 0;
  const char* from = resolve(warp, lane, address, most);
  std::memcpy(to, from, std::min<uint64_t>(bytes, most));
}

std::string read_string(Warp& warp, int lane, uint64_t address) {
  if (address == 0) return "(null)";
  uint64_t most = 0;
  const char* text = resolve(warp, lane, address, most);
  return std::string(text, strnlen(text, most));
}

namespace {

[[noreturn]] void fail_assertion(Warp& warp, int lane, const std::array<uint64_t, 4>& arguments) {
  const auto& [message, file, line, function] = arguments;
  throw Fault{Status::kAssert, "assertion failed", lane,
              read_string(warp, lane, message) + " in " + read_string(warp, lane, function) + ", " +
                  read_string(warp, lane, file) + ":" +
                  std::to_string(static_cast<uint32_t>(line))};
}

void free_block(Warp& warp, int lane, uint64_t address) {
  Grid& grid = warp.block().grid();
  if (address == 0 || grid.limits().heap->release(grid.memory(), address)) return;
  throw Fault{Status::kIllegalAddress, "bad free", lane,
              "free was given an address that " + grid.memory().describe(address) +
                  "; expected one that malloc in a kernel gave"};
}

uint64_t call_for_lane(Warp& warp, int lane, const CallOperand& operand) {
  std::array<uint64_t, 4> arguments{};
  for (size_t k = 0; k < std::min(arguments.size(), operand.arguments.size()); ++k) {
    arguments[k] = read_param(warp, lane, operand.arguments[k]);
  }
  Grid& grid = warp.block().grid();
  if (operand.builtin == "vprintf") {
    return static_cast<uint64_t>(print(warp, lane, arguments[0], arguments[1]));
  }
  if (operand.builtin == "__assertfail") fail_assertion(warp, lane, arguments);
  if (operand.builtin == "malloc") {
    return grid.limits().heap->allocate(grid.memory(), arguments[0]);
  }
  free_block(warp, lane, arguments[0]);
  return 0;
}

}  // namespace

void call_builtin(Warp& warp, const CallOperand& operand, Mask lanes) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has_lane(lanes, lane)) continue;
    const uint64_t result = call_for_lane(warp, lane, operand);
    if (!operand.results.empty()) {
      std::memcpy(warp.params(lane) + operand.results[0].first, &result,
                  std::min<size_t>(operand.results[0].second, sizeof result));
    }
  }
}

}  // namespace softcuda
