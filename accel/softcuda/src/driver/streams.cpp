#include "streams.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>

#include "state.h"

namespace softcuda {
namespace {

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool is_ready(const Work& work) {
  return std::all_of(work.after.begin(), work.after.end(),
                     [](const Ticket& before) { return before->is_done; });
}

}  // namespace

uint64_t Stream::new_number() {
  static std::atomic<uint64_t> next{1};
  return next++;
}

void WorkQueue::configure(bool is_lazy, uint64_t seed) {
  is_lazy_ = is_lazy;
  is_random_ = seed != 0;
  random_state_ = seed * 2 + 1;
}

std::vector<Ticket> WorkQueue::pending(const Stream& stream) const {
  std::vector<Ticket> result;
  for (const auto& [number, last] : last_) {
    const bool is_awaited = stream.kind == Stream::Kind::kLegacy &&
                            last.kind == Stream::Kind::kBlocking &&
                            last.work->context == stream.context;
    if (number == stream.number || is_awaited) result.push_back(last.work);
  }
  return result;
}

std::vector<Ticket> WorkQueue::pending(const Context* context) const {
  std::vector<Ticket> result;
  for (const auto& entry : last_) {
    const Ticket& work = entry.second.work;
    if (context == nullptr || work->context == context) result.push_back(work);
  }
  return result;
}

Ticket WorkQueue::submit(const Stream& stream, std::function<void()> run, const Ticket& also) {
  auto work = std::make_shared<Work>();
  work->context = stream.context;
  work->stream = stream.number;
  work->number = next_number_++;
  work->run = std::move(run);
  if (!is_lazy_) {
    execute(*work);
    return work;
  }
  work->after = pending(stream);
  if (stream.kind == Stream::Kind::kBlocking) {
    const auto legacy = last_.find(stream.context->legacy.number);
    if (legacy != last_.end()) work->after.push_back(legacy->second.work);
  }
  if (also != nullptr && !also->is_done) work->after.push_back(also);
  last_[stream.number] = {work, stream.kind};
  return work;
}

WorkQueue::Wanted WorkQueue::collect(std::vector<Ticket> wanted) {
  Wanted result;
  while (!wanted.empty()) {
    const Ticket one = std::move(wanted.back());
    wanted.pop_back();
    if (one->is_done || !result[one->stream].emplace(one->number, one).second) continue;
    wanted.insert(wanted.end(), one->after.begin(), one->after.end());
  }
  return result;
}

WorkQueue::Wanted::iterator WorkQueue::choose(Wanted& wanted) {
  std::vector<Wanted::iterator> ready;
  for (auto stream = wanted.begin(); stream != wanted.end(); ++stream) {
    if (is_ready(*stream->second.begin()->second)) ready.push_back(stream);
  }
  if (is_random_) return ready[random() % ready.size()];
  return *std::max_element(ready.begin(), ready.end(), [](const auto& a, const auto& b) {
    return a->second.rbegin()->first < b->second.rbegin()->first;
  });
}

void WorkQueue::run_one(Wanted& wanted) {
  const auto stream = choose(wanted);
  const auto first = stream->second.begin();
  const Ticket work = first->second;
  stream->second.erase(first);
  if (stream->second.empty()) wanted.erase(stream);
  execute(*work);
}

void WorkQueue::finish(std::vector<Ticket> wanted) {
  Wanted all = collect(std::move(wanted));
  while (!all.empty()) run_one(all);
}

void WorkQueue::step(std::vector<Ticket> wanted) {
  Wanted all = collect(std::move(wanted));
  if (!all.empty()) run_one(all);
}

// What comes after a fault in its context is dropped, as on a GPU.
void WorkQueue::execute(Work& work) {
  if (work.run != nullptr && work.context->fault == Status::kSuccess) {
    try {
      work.run();
    } catch (const ApiError& error) {
      work.context->fault = error.status;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "softcuda: %s\n", error.what());
      work.context->fault = Status::kUnknown;
    }
  }
  work.run = nullptr;
  work.after.clear();
  work.is_done = true;
  last_finished_ = std::max(last_finished_ + 1, now());
  work.finished = last_finished_;
  const auto last = last_.find(work.stream);
  if (last != last_.end() && last->second.work.get() == &work) last_.erase(last);
}

// xorshift64*: the same sequence for a seed on every machine.
uint64_t WorkQueue::random() {
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return (random_state_ * 0x2545F4914F6CDD1DULL) >> 33;
}

}  // namespace softcuda
