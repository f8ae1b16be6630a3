// The fundamental types by name.
#include <unordered_map>

#include "ast.h"

namespace softcuda::ptx {

Type type_named(const std::string& name) {
  using K = Type::Kind;
  static const std::unordered_map<std::string, Type> types = {
      {"pred", {K::kPredicate, 1, 1}},   {"b8", {K::kBits, 8, 1}},
      {"b16", {K::kBits, 16, 1}},        {"b32", {K::kBits, 32, 1}},
      {"b64", {K::kBits, 64, 1}},        {"b128", {K::kBits, 128, 1}},
      {"u8", {K::kUnsigned, 8, 1}},      {"u16", {K::kUnsigned, 16, 1}},
      {"u32", {K::kUnsigned, 32, 1}},    {"u64", {K::kUnsigned, 64, 1}},
      {"s8", {K::kSigned, 8, 1}},        {"s16", {K::kSigned, 16, 1}},
      {"s32", {K::kSigned, 32, 1}},      {"s64", {K::kSigned, 64, 1}},
      {"f16", {K::kFloat, 16, 1}},       {"f16x2", {K::kFloat, 16, 2}},
      {"f32", {K::kFloat, 32, 1}},       {"f64", {K::kFloat, 64, 1}},
      {"bf16", {K::kBrainFloat, 16, 1}}, {"bf16x2", {K::kBrainFloat, 16, 2}},
  };
  const auto found = types.find(name);
  return found == types.end() ? Type{} : found->second;
}

}  // namespace softcuda::ptx
