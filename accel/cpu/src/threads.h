// Threads for the time of a call, and where they wait for each other.
#pragma once

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

namespace refrnn {

class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}

  // Spins, since what is waited for is near; but not for long, since another process may have the
  // other thread's core.
  void wait() {
    if (threads_ == 1) return;
    const int turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins >= kSpins) std::this_thread::yield();
    }
  }

 private:
  static constexpr int kSpins = 2000;

  const int threads_;
  std::atomic<int> arrived_{0}, turn_{0};
};

// How threads share the lanes: teams with lanes of their own, whose members share the units.
struct Teams {
  int count, members;
  int threads() const { return count * members; }
  // Of a thread.
  int team(int thread) const { return thread / members; }
  int member(int thread) const { return thread % members; }
};

// A barrier for the members of each team.
class TeamBarriers {
 public:
  explicit TeamBarriers(Teams teams) : teams_(teams) {
    for (int team = 0; team < teams.count; ++team) barriers_.emplace_back(teams.members);
  }
  Barrier& of(int thread) { return barriers_[static_cast<size_t>(teams_.team(thread))]; }

 private:
  Teams teams_;
  std::deque<Barrier> barriers_;  // which cannot be moved
};

// Runs work(0) to work(threads - 1) at the same time, the first in this thread. The work does not
// throw, and its parts may wait for each other.
template <class Work>
void run_threads(int threads, const Work& work) {
  std::vector<std::thread> others;
  others.reserve(static_cast<size_t>(threads - 1));
  std::atomic<int> go{0};
  const auto wait_and_work = [&](int thread) {
    while (go.load(std::memory_order_acquire) == 0) std::this_thread::yield();
    if (go.load(std::memory_order_relaxed) > 0) work(thread);
  };
  try {
    for (int n = 1; n < threads; ++n) others.emplace_back(wait_and_work, n);
  } catch (...) {  // a thread that cannot be had: others would wait for it for ever
    go.store(-1, std::memory_order_release);
    for (std::thread& other : others) other.join();
    throw;
  }
  go.store(1, std::memory_order_release);
  work(0);
  for (std::thread& other : others) other.join();
}

}  // namespace refrnn
