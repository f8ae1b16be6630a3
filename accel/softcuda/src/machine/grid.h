// A launch as it runs: which blocks are on the device, and whose turn it is.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "../memory/device_memory.h"
#include "block.h"

namespace softcuda {

class RaceDetector;
class Worker;

class Grid {
 public:
  Grid(const Launch& launch, DeviceMemory& memory, const Limits& limits);
  ~Grid();

  // Run to the end. The report of the first fault, or one of status kSuccess.
  Report run();

  const Launch& launch() const { return launch_; }
  DeviceMemory& memory() { return memory_; }
  const Limits& limits() const { return limits_; }
  RaceDetector* race() { return race_.get(); }
  uint64_t clusters() const { return clusters_; }
  // The number of the next cluster to be started, or clusters() when there is none.
  uint64_t take_cluster();
  // A fault in a cluster. That of the lowest number counts, and none above it is started.
  void fail(uint64_t cluster, const Report& report);

 private:
  int host_threads() const;
  void run(Worker& worker);

  const Launch& launch_;
  DeviceMemory& memory_;
  const Limits& limits_;
  uint64_t clusters_;
  std::unique_ptr<RaceDetector> race_;
  std::mutex mutex_;
  uint64_t next_ = 0;
  uint64_t failed_ = ~uint64_t{0};
  std::vector<uint64_t> order_;  // of the clusters, where it is not 0, 1, 2, ...
  Report report_;
};

// One thread of the host, with the clusters that it runs.
class Worker {
 public:
  // `is_alone`: what it counts goes to the functions at once.
  Worker(Grid& grid, bool is_alone);

  void run();
  // Add what was counted to the functions.
  void report_counts();

  Grid& grid() { return grid_; }
  Site* sites(const Function& function);
  uint64_t random();
  // Memory has changed: whoever waits may go on.
  void note_progress() { ++changes_; }
  uint64_t changes() const { return changes_; }
  // Whoever reads the clock may be waiting, but not for ever.
  void note_clock_read() { ++clock_reads_; }
  void note_access() { ++accesses_; }
  bool watches_memory() const { return watches_memory_; }
  void note_executed(int64_t instructions) { executed_ += static_cast<uint64_t>(instructions); }
  // A fault that is reported at the end of the launch, unless a race is found that explains it.
  void suspect(const Fault& fault, Block& block);

 private:
  struct Resident {
    uint64_t number;
    std::unique_ptr<Cluster> cluster;
  };
  bool run_one(Resident& one);
  Report report(const Fault& fault, const Cluster& cluster) const;
  Fault deadlock(const std::vector<Resident*>& waiting, std::string what) const;

  Grid& grid_;
  bool is_alone_;
  bool watches_memory_;
  uint64_t changes_ = 0;
  uint64_t clock_reads_ = 0;
  uint64_t accesses_ = 0;  // instructions that looked at memory
  uint64_t executed_ = 0;  // instructions of warps
  uint64_t random_state_;
  uint64_t resident_;
  std::deque<Resident> running_;
  Report suspicion_;
  std::map<Function*, std::vector<Site>> sites_;
};

// What %clock64 or, in nanoseconds, %globaltimer reads. Whoever reads it is not stuck.
uint64_t clock_now(Warp& warp, bool is_timer);

}  // namespace softcuda
