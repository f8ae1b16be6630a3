#include "special_registers.h"

#include <unordered_map>

#include "machine.h"

namespace softcuda {
namespace {

const Launch& launch_of(const Warp& warp) { return warp.block().grid().launch(); }

// How many clusters a grid has in each direction, and which one a block is in.
Dim clusters_of(const Launch& launch) {
  const Dim& g = launch.grid;
  const Dim& c = launch.cluster;
  return {g.x / c.x, g.y / c.y, g.z / c.z};
}
Dim cluster_of(const Warp& warp) {
  const Dim b = warp.block().index();
  const Dim& c = launch_of(warp).cluster;
  return {b.x / c.x, b.y / c.y, b.z / c.z};
}
Dim place_in_cluster(const Warp& warp) {
  const Dim b = warp.block().index();
  const Dim& c = launch_of(warp).cluster;
  return {b.x % c.x, b.y % c.y, b.z % c.z};
}

uint32_t bit_of(int lane) { return uint32_t{1} << lane; }

// Every vector register, by its name without the axis.
struct Triple {
  const char* name;
  Dim (*value)(const Warp&, int lane);
};
constexpr Triple kTriples[] = {
    {"%tid", [](const Warp& w, int lane) { return w.thread_of(lane); }},
    {"%ntid", [](const Warp& w, int) { return launch_of(w).block; }},
    {"%ctaid", [](const Warp& w, int) { return w.block().index(); }},
    {"%nctaid", [](const Warp& w, int) { return launch_of(w).grid; }},
    {"%clusterid", [](const Warp& w, int) { return cluster_of(w); }},
    {"%nclusterid", [](const Warp& w, int) { return clusters_of(launch_of(w)); }},
    {"%cluster_ctaid", [](const Warp& w, int) { return place_in_cluster(w); }},
    {"%cluster_nctaid", [](const Warp& w, int) { return launch_of(w).cluster; }},
};

template <size_t k, uint32_t Dim::* axis>
uint64_t component(const Warp& warp, const Frame&, int lane) {
  return kTriples[k].value(warp, lane).*axis;
}

template <size_t k>
void add_triple(std::unordered_map<std::string, SpecialValue>& all) {
  const std::string name = kTriples[k].name;
  all[name + ".x"] = component<k, &Dim::x>;
  all[name + ".y"] = component<k, &Dim::y>;
  all[name + ".z"] = component<k, &Dim::z>;
}

template <size_t... k>
void add_triples(std::unordered_map<std::string, SpecialValue>& all, std::index_sequence<k...>) {
  (add_triple<k>(all), ...);
}

std::unordered_map<std::string, SpecialValue> make_table() {
  std::unordered_map<std::string, SpecialValue> all = {
      {"%laneid", [](const Warp&, const Frame&, int lane) { return static_cast<uint64_t>(lane); }},
      {"%warpid",
       [](const Warp& w, const Frame&, int) { return static_cast<uint64_t>(w.index()); }},
      {"%nwarpid", [](const Warp&, const Frame&, int) { return uint64_t{64}; }},
      {"%smid", [](const Warp&, const Frame&, int) { return uint64_t{0}; }},
      {"%nsmid",
       [](const Warp& w, const Frame&, int) {
         return static_cast<uint64_t>(w.block().grid().limits().multiprocessors);
       }},
      {"%gridid", [](const Warp&, const Frame&, int) { return uint64_t{1}; }},
      {"%lanemask_eq", [](const Warp&, const Frame&, int l) { return uint64_t{bit_of(l)}; }},
      {"%lanemask_lt", [](const Warp&, const Frame&, int l) { return uint64_t{bit_of(l) - 1}; }},
      {"%lanemask_le",
       [](const Warp&, const Frame&, int l) { return uint64_t{bit_of(l) | (bit_of(l) - 1)}; }},
      {"%lanemask_gt",
       [](const Warp&, const Frame&, int l) { return uint64_t{~(bit_of(l) | (bit_of(l) - 1))}; }},
      {"%lanemask_ge", [](const Warp&, const Frame&, int l) { return uint64_t{~(bit_of(l) - 1)}; }},
      {"%dynamic_smem_size",
       [](const Warp& w, const Frame&, int) { return uint64_t{launch_of(w).dynamic_shared}; }},
      {"%total_smem_size",
       [](const Warp& w, const Frame&, int) {
         return uint64_t{launch_of(w).dynamic_shared} + launch_of(w).entry->shared_end;
       }},
      {"%cluster_ctarank",
       [](const Warp& w, const Frame&, int) { return uint64_t{w.block().rank()}; }},
      {"%cluster_nctarank",
       [](const Warp& w, const Frame&, int) { return launch_of(w).cluster.product(); }},
      {"%is_explicit_cluster",
       [](const Warp& w, const Frame&, int) {
         return static_cast<uint64_t>(launch_of(w).is_explicit_cluster);
       }},
      {kLocalBase, [](const Warp&, const Frame& f, int) { return uint64_t{f.local_base}; }},
  };
  add_triples(all, std::make_index_sequence<std::size(kTriples)>());
  return all;
}

}  // namespace

SpecialValue special_value(const std::string& name) {
  static const auto table = make_table();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace softcuda
