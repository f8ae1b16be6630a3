// What the lanes of a warp do together: shuffles, votes, matches, reductions.
#include <algorithm>

#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Type;

const Type kU32 = ptx::type_named("u32"), kB32 = ptx::type_named("b32");

enum class Shuffle : int64_t { kUp, kDown, kButterfly, kIndex };

// b: offset or lane; c: the clamp in bits 0 to 4, the segment mask in bits 8 to 12.
void shuffle(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  uint32_t before[kLanes];
  for (int l = 0; l < kLanes; ++l) before[l] = a[l];
  Mask in_range = 0, unwritten = 0;
  const Mask written = w.written(i.a);
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    const int segment = static_cast<int>((c[l] >> 8) & 31), clamp = static_cast<int>(c[l] & 31);
    const int most = (l & segment) | (clamp & ~segment), least = l & segment;
    const int offset = static_cast<int>(b[l] & 31);
    int from = l;
    bool is_in_range = false;
    switch (static_cast<Shuffle>(i.immediate)) {
      case Shuffle::kUp:
        from = l - offset;
        is_in_range = from >= most;
        break;
      case Shuffle::kDown:
        from = l + offset;
        is_in_range = from <= most;
        break;
      case Shuffle::kButterfly:
        from = l ^ offset;
        is_in_range = from <= most;
        break;
      case Shuffle::kIndex:
        from = least | (offset & ~segment);
        is_in_range = from <= most;
        break;
    }
    if (!is_in_range) from = l;
    if (!has_lane(m, from) && !w.block().grid().limits().checks.lanes) from = l;
    if (!has_lane(m, from)) {
      throw Fault{Status::kLaunchFailed, "missing lanes", l,
                  "a shuffle reads lane " + std::to_string(from) + ", which does not take part"};
    }
    w.out<uint32_t>(i.d)[l] = before[from];
    unwritten |= static_cast<Mask>(!has_lane(written, from)) << l;
    in_range |= static_cast<Mask>(is_in_range) << l;
  }
  if (i.e != kNoRow) w.set_predicate(i.e, m, in_range);
  if (unwritten != 0) w.mark_unwritten(i.d, unwritten);
}

Instruction& emit_sync(Decoder& d, Handler run, Row members) {
  Instruction& i = d.emit(run, Category::kWarp);
  i.flow = Flow::kWarpSync;
  i.c2 = members;
  return i;
}

void decode_shfl(Decoder& d, Modifiers& mods) {
  if (!mods.take("sync")) d.fail("only .sync is supported");
  const std::string name = mods.require_one({"up", "down", "bfly", "idx"});
  if (!mods.take("b32")) d.fail("a shuffle needs .b32");
  const Shuffle how = name == "up"     ? Shuffle::kUp
                      : name == "down" ? Shuffle::kDown
                      : name == "bfly" ? Shuffle::kButterfly
                                       : Shuffle::kIndex;
  const Row a = d.source(d.operand(1), kB32), b = d.source(d.operand(2), kB32);
  const Row c = d.source(d.operand(3), kB32), members = d.source(d.operand(4), kU32);
  Instruction& i = emit_sync(d, shuffle, members);
  i.a = a, i.b = b, i.c = c, i.immediate = static_cast<int64_t>(how);
  i.moves = Moves::kShuffled;
  i.d = d.destination(d.operand(0), kB32);
  if (!d.statement().results.empty()) i.e = d.predicate_result(d.statement().results[0]);
}

enum class Vote : int64_t { kAll, kAny, kUni, kBallot };

template <Vote which>
void vote(Warp& w, const Instruction& i, Mask m) {
  const Mask p = (w.predicate(i.a) ^ (i.immediate != 0 ? kFullMask : 0)) & m;
  if (which == Vote::kBallot) {
    each_lane<uint32_t>(w, i.d, m, [&](int) { return p; });
    return;
  }
  const bool holds = which == Vote::kAll ? p == m : which == Vote::kAny ? p != 0 : p == m || p == 0;
  w.set_predicate(i.d, m, holds ? kFullMask : 0);
}

void decode_vote(Decoder& d, Modifiers& mods) {
  if (!mods.take("sync")) d.fail("only .sync is supported");
  const std::string name = mods.require_one({"all", "any", "uni", "ballot"});
  if (!mods.take(name == "ballot" ? "b32" : "pred")) d.fail("a type is missing");
  Operand p = d.operand(1);
  const bool negated = p.negated;
  p.negated = false;
  const Row a = d.predicate(p), members = d.source(d.operand(2), kU32);
  const Handler run = name == "all"   ? vote<Vote::kAll>
                      : name == "any" ? vote<Vote::kAny>
                      : name == "uni" ? vote<Vote::kUni>
                                      : vote<Vote::kBallot>;
  Instruction& i = emit_sync(d, run, members);
  i.a = a, i.immediate = negated;
  i.d = name == "ballot" ? d.destination(d.operand(0), kB32) : d.predicate_result(d.operand(0));
}

template <class T, bool all>
void match(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  Mask same[kLanes] = {};
  for (int l = 0; l < kLanes; ++l) {
    for (int k = 0; k < kLanes; ++k) {
      if (has_lane(m, l) && has_lane(m, k) && a[l] == a[k]) same[l] |= Mask{1} << k;
    }
  }
  const bool is_all = same[lowest_lane(m)] == m;
  each_lane<uint32_t>(w, i.d, m, [&](int l) { return all ? (is_all ? m : 0) : same[l]; });
  if (all && i.e != kNoRow) w.set_predicate(i.e, m, is_all ? kFullMask : 0);
}

void decode_match(Decoder& d, Modifiers& mods) {
  const bool all = mods.require_one({"all", "any"}) == "all";
  if (!mods.take("sync")) d.fail("only .sync is supported");
  const Type type = mods.take_type();
  if (type.kind != Type::Kind::kBits || (type.bits != 32 && type.bits != 64))
    d.fail("match needs .b32 or .b64");
  if (!all && !d.statement().results.empty()) d.fail("match.any has no predicate");
  const Row a = d.source(d.operand(1), type), members = d.source(d.operand(2), kU32);
  const bool wide = type.bits == 64;
  Instruction& i = emit_sync(d,
                             all ? (wide ? match<uint64_t, true> : match<uint32_t, true>)
                                 : (wide ? match<uint64_t, false> : match<uint32_t, false>),
                             members);
  i.a = a, i.d = d.destination(d.operand(0), kU32);
  if (!d.statement().results.empty()) i.e = d.predicate_result(d.statement().results[0]);
}

enum class Reduce : int64_t { kAdd, kMin, kMax, kAnd, kOr, kXor };

template <class T>
void reduce(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  T result = a[lowest_lane(m)];
  for (int l = lowest_lane(m) + 1; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    switch (static_cast<Reduce>(i.immediate)) {
      case Reduce::kAdd:
        result = static_cast<T>(static_cast<uint32_t>(result) + static_cast<uint32_t>(a[l]));
        break;
      case Reduce::kMin:
        result = std::min(result, a[l]);
        break;
      case Reduce::kMax:
        result = std::max(result, a[l]);
        break;
      case Reduce::kAnd:
        result &= a[l];
        break;
      case Reduce::kOr:
        result |= a[l];
        break;
      case Reduce::kXor:
        result ^= a[l];
        break;
    }
  }
  each_lane<T>(w, i.d, m, [&](int) { return result; });
}

void decode_redux(Decoder& d, Modifiers& mods) {
  if (!mods.take("sync")) d.fail("only .sync is supported");
  static const std::vector<std::string> names = {"add", "min", "max", "and", "or", "xor"};
  const std::string name = mods.require_one(names);
  const Type type = mods.take_type();
  if (type.bits != 32 || type.is_float()) d.fail("redux needs .u32, .s32 or .b32");
  const Row a = d.source(d.operand(1), type), members = d.source(d.operand(2), kU32);
  Instruction& i = emit_sync(d, type.is_signed() ? reduce<int32_t> : reduce<uint32_t>, members);
  i.a = a, i.immediate = std::find(names.begin(), names.end(), name) - names.begin();
  i.d = d.destination(d.operand(0), type);
}

void activemask(Warp& w, const Instruction& i, Mask m) {
  const Mask now = w.split_lanes();
  each_lane<uint32_t>(w, i.d, m, [&](int) { return now; });
}

void decode_activemask(Decoder& d, Modifiers& mods) {
  if (!mods.take("b32")) d.fail("activemask needs .b32");
  d.emit(activemask, Category::kWarp).d = d.destination(d.operand(0), kU32);
}

void elect(Warp& w, const Instruction& i, Mask m) {
  const int leader = lowest_lane(m);
  if (i.d != kNoRow)
    each_lane<uint32_t>(w, i.d, m, [&](int) { return static_cast<uint32_t>(leader); });
  if (i.e != kNoRow) w.set_predicate(i.e, m, Mask{1} << leader);
}

void decode_elect(Decoder& d, Modifiers& mods) {
  if (!mods.take("sync")) d.fail("only .sync is supported");
  const Row members = d.source(d.operand(1), kU32);
  Instruction& i = emit_sync(d, elect, members);
  if (d.operand(0).kind != Operand::Kind::kSink) i.d = d.destination(d.operand(0), kU32);
  if (!d.statement().results.empty()) i.e = d.predicate_result(d.statement().results[0]);
}

// Of all these, the one that orders memory.
void warp_barrier(Warp& w, const Instruction&, Mask m) {
  if (w.order() != nullptr) w.order()->meet(m, w.block().threads());
}

}  // namespace

void add_warp(OpcodeTable& table) {
  table["shfl"] = decode_shfl;
  table["vote"] = decode_vote;
  table["match"] = decode_match;
  table["redux"] = decode_redux;
  table["activemask"] = decode_activemask;
  table["elect"] = decode_elect;
  table["bar.warp"] = [](Decoder& d, Modifiers& mods) {
    if (!mods.take("sync")) d.fail("only .sync is supported");
    const Row members = d.source(d.operand(0), kU32);
    emit_sync(d, warp_barrier, members).category = Category::kBarrier;
  };
}

}  // namespace softcuda
