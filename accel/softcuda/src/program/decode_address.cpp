// What is done with addresses, and the order of accesses: cvta, isspacep, mapa, prefetch, fences.
#include "../machine/access.h"
#include "lanes.h"
#include "memory_operand.h"

namespace softcuda {
namespace {

using ptx::Space;
using ptx::Type;

template <class T>
void add_immediate(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  each_lane<T>(w, i.d, m,
               [&](int l) { return static_cast<T>(a[l] + static_cast<T>(i.immediate)); });
}

void decode_cvta(Decoder& d, Modifiers& mods) {
  const bool from_generic = mods.take("to");
  bool reaches_cluster = false;
  const Space space = take_space(mods, &reaches_cluster);
  const Type type = mods.take_type();
  if (type.bits != 64) d.fail("addresses have 64 bits here");
  if (space == Space::kParam || space == Space::kNone)
    d.fail("this state space is not supported here");
  const auto window = static_cast<int64_t>(generic_address(space, 0));
  const Row a = d.source(d.operand(1), type);
  Instruction& i = d.emit(add_immediate<uint64_t>, Category::kInteger);
  i.a = a, i.immediate = from_generic ? -window : window;
  i.d = d.destination(d.operand(0), type);
}

bool is_in(Warp& w, Space space, uint64_t address) {
  const bool is_shared = address - kSharedWindow < kWindowBytes;
  const bool is_local = address - kLocalWindow < kWindowBytes;
  if (space == Space::kShared) return is_shared;
  if (space == Space::kLocal) return is_local;
  if (space == Space::kParam) return false;  // no generic address lies there
  const Allocation* one = w.block().grid().memory().find(address);
  const bool is_constant = one != nullptr && one->kind == Allocation::Kind::kConstant;
  return space == Space::kConst ? is_constant : !is_shared && !is_local && !is_constant;
}

void isspacep(Warp& w, const Instruction& i, Mask m) {
  const In<uint64_t> a(w, i.a);
  const auto space = static_cast<Space>(i.immediate);
  w.set_predicate(i.d, m, lanes_where([&](int l) { return is_in(w, space, a[l]); }));
}

// Of the own block: addresses without a rank, or with its own.
void is_own_shared(Warp& w, const Instruction& i, Mask m) {
  const In<uint64_t> a(w, i.a);
  w.set_predicate(i.d, m, lanes_where([&](int l) {
                    return is_in(w, Space::kShared, a[l]) &&
                           block_of_shared(w.block(), a[l] - kSharedWindow) == &w.block();
                  }));
}

void decode_isspacep(Decoder& d, Modifiers& mods) {
  bool reaches_cluster = false;
  const Space space = take_space(mods, &reaches_cluster);
  if (space == Space::kNone) d.fail("a state space is needed");
  const bool is_own = space == Space::kShared && !reaches_cluster;
  const Row a = d.source(d.operand(1), ptx::type_named("u64"));
  Instruction& i = d.emit(is_own ? is_own_shared : isspacep, Category::kInteger);
  i.a = a, i.immediate = static_cast<int64_t>(space), i.d = d.predicate_result(d.operand(0));
}

// --- clusters ---

// The address of the same variable in another block of the cluster.
template <class T>
void mapa(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  const In<uint32_t> rank(w, i.b);
  constexpr T kOffset = (T{1} << kRankShift) - 1;
  const T window = static_cast<T>(i.immediate);
  each_lane<T>(w, i.d, m, [&](int l) {
    const T offset = static_cast<T>(a[l] - window) & kOffset;
    return static_cast<T>(window + offset + ((T{rank[l]} + 1) << kRankShift));
  });
}

template <class T>
void getctarank(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  const T window = static_cast<T>(i.immediate);
  const uint32_t own = w.block().rank();
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    const T code = static_cast<T>(a[l] - window) >> kRankShift;
    return code == 0 ? own : static_cast<uint32_t>(code - 1);
  });
}

template <bool is_rank>
void decode_mapa(Decoder& d, Modifiers& mods) {
  bool reaches_cluster = false;
  const bool is_offset = take_space(mods, &reaches_cluster) == Space::kShared;
  const Type type = mods.take_type();
  if (type.is_float() || type.bits < 32) d.fail("this type is not supported here");
  if (!is_offset && type.bits != 64) d.fail("generic addresses have 64 bits here");
  const Row a = d.source(d.operand(1), type);
  const Row b = is_rank ? kNoRow : d.source(d.operand(2), ptx::type_named("u32"));
  const bool is_wide = type.bits == 64;
  const Handler run = is_rank ? (is_wide ? getctarank<uint64_t> : getctarank<uint32_t>)
                              : (is_wide ? mapa<uint64_t> : mapa<uint32_t>);
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.immediate = is_offset ? 0 : static_cast<int64_t>(kSharedWindow);
  i.d = d.destination(d.operand(0), is_rank ? ptx::type_named("u32") : type);
}

// --- caches and order ---

void nothing(Warp&, const Instruction&, Mask) {}

void decode_prefetch(Decoder& d, Modifiers& mods) {
  const Space space = take_space(mods);
  mods.require_one({"L1", "L2", "L2::evict_last", "L2::evict_normal"});
  decode_address(d, d.operand(0), space);
  d.emit(nothing, Category::kGlobal);
}

// Memory here is in order at all times: what a fence changes is who knows what.
void fence(Warp& w, const Instruction& i, Mask m) {
  if (w.order() != nullptr)
    w.order()->fence(m, static_cast<Scope>(i.immediate), w.block().threads());
}

void decode_membar(Decoder& d, Modifiers& mods) {
  const std::string level = mods.take_one({"cta", "gl", "sys"});
  if (level.empty()) d.fail("membar needs .cta, .gl or .sys");
  const Scope scope = level == "cta" ? Scope::kBlock : Scope::kDevice;
  d.emit(fence, Category::kBarrier).immediate = static_cast<int64_t>(scope);
}

void decode_fence(Decoder& d, Modifiers& mods) {
  mods.take_one({"sc", "acq_rel", "acquire", "release"});
  const Scope scope = take_scope(mods, Scope::kWeak);
  if (scope == Scope::kWeak) d.fail("a fence needs .cta, .cluster, .gpu or .sys");
  d.emit(fence, Category::kBarrier).immediate = static_cast<int64_t>(scope);
}

}  // namespace

void add_address(OpcodeTable& table) {
  table["cvta"] = decode_cvta;
  table["isspacep"] = decode_isspacep;
  table["mapa"] = decode_mapa<false>;
  table["getctarank"] = decode_mapa<true>;
  table["prefetch"] = decode_prefetch;
  table["prefetchu"] = decode_prefetch;
  table["membar"] = decode_membar;
  table["fence"] = decode_fence;
}

}  // namespace softcuda
