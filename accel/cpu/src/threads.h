// Threads that help a call, and where they wait for each other.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace refrnn {

// Spins until something is so, since that is near; but not for long, since another process may have
// the core of the thread that is waited for.
template <class IsSo>
void spin_until(IsSo is_so) {
  constexpr int kSpins = 2000;
  for (int spins = 0; !is_so();) {
    if (spins < kSpins) {
      ++spins;
    } else {
      std::this_thread::yield();
    }
  }
}

// Each thread says how often it came, in a cache line of its own, and looks at the others'.
class Barrier {
 public:
  explicit Barrier(int threads) : arrivals_(static_cast<size_t>(threads)) {}

  void wait(int thread) {
    std::atomic<unsigned>& own = arrivals_[static_cast<size_t>(thread)].count;
    const unsigned turn = own.load(std::memory_order_relaxed) + 1;
    own.store(turn, std::memory_order_release);
    for (const Arrivals& others : arrivals_) {
      // One that has seen this thread may have come once more.
      spin_until([&] { return others.count.load(std::memory_order_acquire) - turn <= 1; });
    }
  }

 private:
  struct alignas(64) Arrivals {
    std::atomic<unsigned> count{0};
  };
  std::vector<Arrivals> arrivals_;
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

// The cores that this thread may use, and which it is on.
//
// Linux wakes a thread where it slept, and where that core is in use it does not look for an idle
// one on machines of few cores (select_idle_cpu gives up early). A helper would begin on the core
// of the thread that woke it, and they would take turns until the next balancing, milliseconds
// later.
class Cores {
 public:
  Cores() {
#if defined(__linux__)
    is_known_ = sched_getaffinity(0, sizeof all_, &all_) == 0;
    current_ = sched_getcpu();
#endif
  }

  // Calls `wake`, which wakes a thread; that begins on the core `n` places after this one, and may
  // then be moved wherever this thread may be.
  template <class Wake>
  void wake_on(std::thread& other, int n, Wake wake) const {
#if defined(__linux__)
    if (!is_known_) return wake();
    // Masks that the kernel has given out are ones that it takes.
    if (CPU_COUNT(&all_) <= n) {
      pthread_setaffinity_np(other.native_handle(), sizeof all_, &all_);
      return wake();
    }
    int core = current_;
    for (int left = n; left > 0;) {
      core = (core + 1) % CPU_SETSIZE;
      left -= CPU_ISSET(core, &all_) != 0;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    pthread_setaffinity_np(other.native_handle(), sizeof one, &one);
    wake();
    pthread_setaffinity_np(other.native_handle(), sizeof all_, &all_);
#else
    wake();
#endif
  }

 private:
#if defined(__linux__)
  cpu_set_t all_;
  bool is_known_;
  int current_;
#endif
};

// A function of the number of a thread, of any type.
struct Work {
  void (*call)(const void* function, int thread);
  const void* function;
};

// A thread that sleeps until there is work.
class Helper {
 public:
  Helper() {
    // A helper takes no signal of the process, since whoever waits for one has blocked it
    // elsewhere; only those of its own faults.
    sigset_t all, before;
    sigfillset(&all);
    for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, own);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { run(); });
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Helper() {
    wake({nullptr, nullptr}, 0);
    thread_.join();
  }
  Helper(const Helper&) = delete;

  void begin(Work work, int thread, const Cores& cores) {
    cores.wake_on(thread_, thread, [&] { wake(work, thread); });
  }
  void wait() {
    spin_until([&] { return !is_working_.load(std::memory_order_acquire); });
  }

 private:
  void wake(Work work, int number) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_ = work, number_ = number;
      is_working_.store(true, std::memory_order_relaxed);
    }
    changed_.notify_one();
  }

  void run() {
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return is_working_.load(std::memory_order_relaxed); });
      }
      if (work_.call == nullptr) return;
      work_.call(work_.function, number_);
      is_working_.store(false, std::memory_order_release);
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Work work_ = {};
  int number_ = 0;
  std::atomic<bool> is_working_{false};
  std::thread thread_;
};

// Helpers of one call at a time, which sleep between calls.
class Crew {
 public:
  Crew() = default;
  ~Crew() { leave_after_fork(); }
  Crew(const Crew&) = delete;

  // Runs function(0) to function(threads - 1) at the same time, the first in this thread. It does
  // not throw, and its parts may wait for each other.
  template <class Function>
  void run(int threads, const Function& function) {
    leave_after_fork();
    while (static_cast<int>(helpers_.size()) < threads - 1) {
      helpers_.push_back(std::make_unique<Helper>());
    }
    const Work work = {[](const void* of, int n) { (*static_cast<const Function*>(of))(n); },
                       &function};
    const auto each_helper = [&](auto do_one) {
      for (int n = 1; n < threads; ++n) do_one(*helpers_[static_cast<size_t>(n - 1)], n);
    };
    const Cores cores;
    each_helper([&](Helper& helper, int n) { helper.begin(work, n, cores); });
    function(0);
    each_helper([](Helper& helper, int) { helper.wait(); });
  }

 private:
  // A child process has copies of the helpers, but none of their threads.
  void leave_after_fork() {
    if (process_ == getpid()) return;
    for (std::unique_ptr<Helper>& helper : helpers_) helper.release();
    helpers_.clear();
    process_ = getpid();
  }

  std::vector<std::unique_ptr<Helper>> helpers_;
  pid_t process_ = getpid();
};

}  // namespace refrnn
