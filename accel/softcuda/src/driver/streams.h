// Work in streams: what has to wait for what, and when it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace softcuda {

struct Context;

// A piece of work given to a stream: a launch, a copy, a memset, an event that is recorded.
struct Work {
  Context* context = nullptr;
  uint64_t stream = 0, number = 0;  // of the stream, and in the order in which all were given
  std::function<void()> run;
  std::vector<std::shared_ptr<Work>> after;  // what has to be done before
  bool is_done = false;
  int64_t finished = 0;  // nanoseconds; no two pieces of work have the same
};
using Ticket = std::shared_ptr<Work>;

struct Stream {
  enum class Kind { kLegacy, kBlocking, kNonBlocking };
  Context* context = nullptr;
  Kind kind = Kind::kBlocking;
  uint64_t number = new_number();

  static uint64_t new_number();
};

// Runs work at once, or, where streams are lazy, when somebody waits for it. Then the order is one
// that the driver API allows: that within a stream, that of events, and that of the legacy default
// stream with all that block for it. Everything else is made to show. Nothing runs that nobody has
// waited for; of streams that can go on, the one that was given work last goes first, so that what
// forgets to wait for another stream comes too early. With a seed, chance chooses.
class WorkQueue {
 public:
  void configure(bool is_lazy, uint64_t seed);

  // Give work to a stream, behind what it holds and behind `also`, if there is any.
  Ticket submit(const Stream& stream, std::function<void()> run, const Ticket& also = nullptr);
  // The last work of a stream that is not done; of the legacy stream, of all that it waits for.
  std::vector<Ticket> pending(const Stream& stream) const;
  // All that is not done in a context, or in any.
  std::vector<Ticket> pending(const Context* context = nullptr) const;
  // Run these and what they wait for.
  void finish(std::vector<Ticket> wanted);
  // Run one piece of work towards these.
  void step(std::vector<Ticket> wanted);

 private:
  // By stream, the work that is wanted in its order.
  using Wanted = std::map<uint64_t, std::map<uint64_t, Ticket>>;
  static Wanted collect(std::vector<Ticket> wanted);
  Wanted::iterator choose(Wanted& wanted);
  void run_one(Wanted& wanted);
  void execute(Work& work);
  uint64_t random();

  bool is_lazy_ = false;
  bool is_random_ = false;
  uint64_t random_state_ = 1;
  uint64_t next_number_ = 1;
  int64_t last_finished_ = 0;
  // By stream, the last work that is not done, and what kind of stream it is.
  struct Last {
    Ticket work;
    Stream::Kind kind;
  };
  std::map<uint64_t, Last> last_;
};

}  // namespace softcuda
