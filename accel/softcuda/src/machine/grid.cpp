// The grid: which clusters are on the device, whose turn it is, and when nobody can go on.
#include <algorithm>
#include <thread>

#include "../program/rounding.h"
#include "architecture.h"
#include "machine.h"
#include "race.h"

namespace softcuda {
namespace {

// Clusters that are on the device at the same time: by the blocks that one multiprocessor holds,
// times their number.
uint64_t residency(const Launch& launch, const Limits& limits) {
  const Function& entry = *launch.entry;
  const uint64_t shared = entry.shared_end - entry.shared_begin + launch.dynamic_shared;
  const uint64_t blocks =
      resident_blocks(*limits.architecture, launch.block.product(), entry.registers, shared) *
      static_cast<uint64_t>(limits.multiprocessors);
  return std::max<uint64_t>(blocks / launch.cluster.product(), 1);
}

}  // namespace

std::string source_words(const Program& program, const Instruction& i) {
  const auto file = program.sources.files.find(i.source.file);
  if (i.source.line == 0 || file == program.sources.files.end())
    return "line " + std::to_string(i.ptx_line) + " of the PTX";
  return file->second + ":" + std::to_string(i.source.line);
}

std::string Report::text() const {
  std::string out = "softcuda: " + kind + " in kernel " + kernel;
  if (function != kernel && !function.empty()) out += ", function " + function;
  out += "\n  at " + (source_line != 0 ? file + ":" + std::to_string(source_line)
                                       : "line " + std::to_string(ptx_line) + " of the PTX");
  const auto triple = [](const Dim& d) {
    return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
  };
  out += " by thread " + triple(thread) + " of block " + triple(block);
  if (!inlined.empty()) out += "\n  in " + inlined;
  out += "\n  " + what + "\n";
  return out;
}

// --- the grid ------------------------------------------------------------------------------------

Grid::Grid(const Launch& launch, DeviceMemory& memory, const Limits& limits)
    : launch_(launch),
      memory_(memory),
      limits_(limits),
      clusters_(launch.grid.product() / launch.cluster.product()) {
  if (limits.checks.race) race_ = std::make_unique<RaceDetector>(*this);
}

Grid::~Grid() = default;

// Several threads of the host give what one gives only where no block can hear from another.
int Grid::host_threads() const {
  const bool is_independent = !launch_.entry->communicates && !limits_.checks.race &&
                              limits_.schedule != Schedule::kAdversarial;
  return is_independent
             ? static_cast<int>(std::min(static_cast<uint64_t>(limits_.threads), clusters_))
             : 1;
}

// No exception leaves a worker: its thread would take the process along.
void Grid::run(Worker& worker) {
  try {
    worker.run();
  } catch (const std::exception&) {
    Report report;
    report.status = Status::kOutOfMemory, report.kind = "out of host memory";
    report.kernel = launch_.entry->name;
    fail(0, report);
  }
}

Report Grid::run() {
  Worker first(*this, true);
  if (limits_.schedule == Schedule::kAdversarial) {
    for (uint64_t k = 0; k < clusters_; ++k) order_.push_back(k);
    for (uint64_t k = clusters_; k > 1; --k) std::swap(order_[k - 1], order_[first.random() % k]);
  }
  std::vector<std::unique_ptr<Worker>> others;
  std::vector<std::thread> threads;
  for (int k = 1; k < host_threads(); ++k) {
    others.push_back(std::make_unique<Worker>(*this, false));
    threads.emplace_back([this, &worker = *others.back()] { run(worker); });
  }
  run(first);
  for (std::thread& thread : threads) thread.join();
  for (const auto& worker : others) worker->report_counts();
  return report_;
}

uint64_t Grid::take_cluster() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (next_ >= clusters_ || next_ > failed_) return clusters_;
  const uint64_t number = next_++;
  return order_.empty() ? number : order_[number];
}

void Grid::fail(uint64_t cluster, const Report& report) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (cluster >= failed_) return;
  failed_ = cluster;
  report_ = report;
}

// --- a worker ------------------------------------------------------------------------------------

Worker::Worker(Grid& grid, bool is_alone)
    : grid_(grid),
      is_alone_(is_alone),
      watches_memory_(grid.limits().checks.race || grid.limits().checks.uninitialised),
      random_state_(grid.limits().seed * 2 + 1),
      resident_(residency(grid.launch(), grid.limits())) {}

// xorshift64*: the same sequence for a seed on every machine.
uint64_t Worker::random() {
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return (random_state_ * 0x2545F4914F6CDD1DULL) >> 33;
}

Site* Worker::sites(const Function& function) {
  auto& own = const_cast<Function&>(function);
  if (is_alone_) return own.sites.data();
  std::vector<Site>& counted = sites_[&own];
  counted.resize(own.sites.size());
  return counted.data();
}

void Worker::report_counts() {
  for (auto& [function, counted] : sites_) {
    for (size_t k = 0; k < counted.size(); ++k) function->sites[k].count += counted[k].count;
  }
}

Report Worker::report(const Fault& fault, const Cluster& cluster) const {
  Report result;
  result.status = fault.status;
  result.kind = fault.kind;
  result.what = fault.what;
  result.kernel = grid_.launch().entry->name;
  const Block& block = cluster.running();
  result.block = block.index();
  const Warp* warp = block.running();
  if (warp != nullptr && warp->current() >= 0)
    warp->locate(warp->current(), result, fault.lane, fault.at);
  return result;
}

void Worker::suspect(const Fault& fault, Block& block) {
  if (suspicion_.status == Status::kSuccess) suspicion_ = report(fault, block.cluster());
}

// Give a cluster its turn. False if a thread of it failed.
bool Worker::run_one(Resident& one) {
  try {
    if (one.cluster == nullptr) one.cluster = std::make_unique<Cluster>(*this, one.number);
    const bool can_go_on = one.cluster->run(static_cast<int64_t>(grid_.limits().quantum));
    if (!one.cluster->is_done() && !can_go_on) {
      one.cluster->check_stuck();
      throw deadlock({&one}, "all threads wait at barriers");
    }
    if (executed_ > grid_.limits().budget && !one.cluster->is_done()) {
      throw Fault{Status::kLaunchTimeout, "out of budget", one.cluster->stand_at_first(),
                  "the launch has executed more than SOFTCUDA_BUDGET instructions"};
    }
    return true;
  } catch (const Fault& fault) {
    // What was read before it was written may be what led here; but if two threads raced for it,
    // that is the cause of both.
    const bool has_cause = suspicion_.status != Status::kSuccess && fault.kind != "data race";
    grid_.fail(one.number, has_cause ? suspicion_ : report(fault, *one.cluster));
    return false;
  }
}

void Worker::run() {
  const FloatingPointScope scope;
  uint64_t idle = 0, next = grid_.take_cluster();
  const auto is_more = [&] { return next < grid_.clusters(); };
  while (is_more() || !running_.empty()) {
    // A cluster is made when its turn comes: where none waits for another, one at a time is there.
    if (is_more() && running_.size() < resident_) {
      running_.push_front({next, nullptr});
      next = grid_.take_cluster();
    }
    Resident one = std::move(running_.front());
    running_.pop_front();
    const uint64_t changes = changes_ + clock_reads_, executed = executed_, accesses = accesses_;
    if (!run_one(one)) return;
    const bool is_done = one.cluster->is_done();
    if (is_done && suspicion_.status != Status::kSuccess && !is_more() && running_.empty())
      return grid_.fail(one.number, suspicion_);
    // Who does not even look at memory is more likely to compute than to wait.
    constexpr uint64_t kComputing = 16;
    const uint64_t waited =
        accesses_ != accesses ? executed_ - executed : (executed_ - executed) / kComputing;
    idle = changes_ + clock_reads_ != changes || is_done ? 0 : idle + waited;
    if (!is_done) running_.push_back(std::move(one));
    const bool all_are_here = !is_more() || running_.size() == resident_;
    if (idle > grid_.limits().patience && all_are_here && !running_.empty() &&
        grid_.limits().checks.deadlock) {
      std::vector<Resident*> waiting;
      for (Resident& each : running_) waiting.push_back(&each);
      const Fault fault = deadlock(waiting, "no thread on the device has changed memory for " +
                                                std::to_string(idle) + " instructions");
      const Report found = report(fault, *running_.front().cluster);
      const bool has_cause = suspicion_.status != Status::kSuccess;
      return grid_.fail(running_.front().number, has_cause ? suspicion_ : found);
    }
  }
}

// A deadlock, with the places of all that wait, at the first of them.
Fault Worker::deadlock(const std::vector<Resident*>& waiting, std::string what) const {
  constexpr size_t kMostBlocks = 16;
  size_t shown = 0;
  what += ":";
  for (const Resident* one : waiting) {
    for (const auto& block : one->cluster->blocks()) {
      if (block->is_done() || shown++ >= kMostBlocks) continue;
      what += "\n    block " + std::to_string(block->number());
      for (const auto& warp : block->warps()) {
        if (!warp->is_done()) what += ", warp " + std::to_string(warp->index()) + warp->places();
      }
    }
  }
  return {Status::kLaunchTimeout, "deadlock", waiting.front()->cluster->stand_at_first(), what};
}

}  // namespace softcuda
