// The driver API: streams and events.
#include <algorithm>

#include "call.h"

using namespace softcuda;

namespace {

// A query gives work its chance: one piece a call, so that who asks again and again gets there.
void query(Driver& driver, Context& context, const std::vector<Ticket>& wanted) {
  if (wanted.empty()) return;
  driver.work.step(wanted);
  if (context.fault != Status::kSuccess) throw ApiError(context.fault, "a fault in the context");
  throw ApiError(Status::kNotReady, "there is work to be done");
}

std::vector<Ticket> pending(const Event& event) {
  if (event.record == nullptr || event.record->is_done) return {};
  return {event.record};
}

}  // namespace

// --- streams -------------------------------------------------------------------------------------

SOFTCUDA_API int cuStreamCreate(Stream** stream, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    constexpr unsigned kNonBlocking = 1;
    given(stream);
    require(flags <= kNonBlocking);
    auto* one = new Stream;
    one->context = &driver.current();
    if (flags == kNonBlocking) one->kind = Stream::Kind::kNonBlocking;
    driver.streams.insert(one);
    *stream = one;
  });
}
// What the stream still holds is done all the same, when somebody waits for it.
SOFTCUDA_API int cuStreamDestroy_v2(Stream* stream) {
  return call(Needs::kCleanUp, [&](Driver& driver) {
    Stream* one = &live(driver.streams, stream);
    driver.streams.erase(one);
    delete one;
  });
}
SOFTCUDA_API int cuStreamSynchronize(void* handle) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Stream& stream = driver.stream(handle);
    driver.wait(*stream.context, driver.work.pending(stream));
  });
}
SOFTCUDA_API int cuStreamQuery(void* handle) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Stream& stream = driver.stream(handle);
    query(driver, *stream.context, driver.work.pending(stream));
  });
}
SOFTCUDA_API int cuStreamWaitEvent(void* handle, Event* event, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Stream& stream = driver.stream(handle);
    const Event& one = live(driver.events, event);
    require(flags == 0);
    if (one.record != nullptr) driver.work.submit(stream, nullptr, one.record);
  });
}
// Managed memory is the host's own here: every stream and the host reach it at any time.
SOFTCUDA_API int cuStreamAttachMemAsync(void* handle, uint64_t address, size_t bytes,
                                        unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    constexpr unsigned kGlobal = 1, kHost = 2, kSingle = 4;
    const Stream& stream = driver.stream(handle);
    const auto block = driver.host_blocks.find(reinterpret_cast<void*>(address));
    require(block != driver.host_blocks.end() && block->second.is_managed);
    require(bytes == 0 || bytes == driver.memory->find(address)->bytes);
    require(flags == kGlobal || flags == kHost || flags == kSingle);
    require(flags != kSingle || stream.kind != Stream::Kind::kLegacy);
    driver.work.submit(stream, nullptr);
  });
}

// --- events --------------------------------------------------------------------------------------

SOFTCUDA_API int cuEventCreate(Event** event, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    constexpr unsigned kAll = 7, kInterprocess = 4;
    given(event);
    require((flags & ~kAll) == 0);
    require((flags & kInterprocess) == 0, Status::kNotSupported);
    auto* one = new Event;
    one->context = &driver.current();
    one->flags = flags;
    driver.events.insert(one);
    *event = one;
  });
}
SOFTCUDA_API int cuEventDestroy_v2(Event* event) {
  return call(Needs::kCleanUp, [&](Driver& driver) {
    Event* one = &live(driver.events, event);
    driver.events.erase(one);
    delete one;
  });
}
SOFTCUDA_API int cuEventRecord(Event* event, void* handle) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Stream& stream = driver.stream(handle);
    Event& one = live(driver.events, event);
    require(one.context == stream.context, Status::kInvalidHandle);
    one.record = driver.work.submit(stream, nullptr);
  });
}
SOFTCUDA_API int cuEventQuery(Event* event) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Event& one = live(driver.events, event);
    query(driver, *one.context, pending(one));
  });
}
SOFTCUDA_API int cuEventSynchronize(Event* event) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Event& one = live(driver.events, event);
    driver.wait(*one.context, pending(one));
  });
}
SOFTCUDA_API int cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) {
  return call(Needs::kContext, [&](Driver& driver) {
    constexpr unsigned kWithoutTiming = 2;
    given(milliseconds);
    const Event &from = live(driver.events, start), &to = live(driver.events, end);
    require(from.record != nullptr && to.record != nullptr &&
                ((from.flags | to.flags) & kWithoutTiming) == 0,
            Status::kInvalidHandle);
    require(from.record->is_done && to.record->is_done, Status::kNotReady);
    // Programs divide by it: a time is never 0.
    constexpr float kLeast = 5e-4f;
    const int64_t nanoseconds = to.record->finished - from.record->finished;
    const auto difference = static_cast<float>(nanoseconds) * 1e-6f;
    *milliseconds = difference >= 0 ? std::max(difference, kLeast) : difference;
  });
}

// --- softcuda has a profiler of its own, which always counts -------------------------------------

SOFTCUDA_API int cuProfilerStart() {
  return call(Needs::kContext, [](Driver&) {});
}
SOFTCUDA_API int cuProfilerStop() {
  return call(Needs::kContext, [](Driver&) {});
}
