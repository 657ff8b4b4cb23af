// What ranks and coordinator tell each other where both remember the last save (plan_cache.h). The
// first byte tells these messages from those of wire.h and plan_wire.h, which begin below 0x80.
#ifndef DCP_CHECKPOINT_PLAN_CACHE_WIRE_H_
#define DCP_CHECKPOINT_PLAN_CACHE_WIRE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace dcp {

// The first 184 bits of a SHA-256.
using PlanKey = std::array<std::byte, 23>;

// ---- rank to coordinator: its plan

// 32 bytes while storage_data has at most 8, as the library's own has.
std::string EncodeSamePlan(const PlanKey& key, std::string_view storage_data);
std::string EncodeWholePlan(std::string_view plan, std::string_view storage_data);
struct ToldPlan {
  std::optional<PlanKey> key;  // the plan is the one that this key stands for,
  std::string_view plan;       // or this EncodePlan; of the message
  std::string_view storage_data;
};
Result<ToldPlan> DecodeToldPlan(std::string_view bytes);

// ---- coordinator to rank

// 32 bytes: write what you wrote when `key` was made. nullopt for what needs more: a save_id that
// is no UUID as NewSaveId writes it, storage_data of more than 8 bytes.
std::optional<std::string> EncodeSameAssignment(const PlanKey& key, std::string_view save_id,
                                                std::string_view storage_data);
// One byte: the coordinator knows no such plan, tell it whole; or: wait, it asks others.
std::string EncodeAsk(bool you);

enum class ToldKind { kSame, kTellWhole, kWait, kAssignment };
struct ToldAssignment {
  ToldKind kind;  // kAssignment: an EncodeAssignment, for DecodeAssignment
  std::string save_id;
  std::string storage_data;
  std::array<std::byte, 7> key;  // its beginning
};
Result<ToldAssignment> DecodeToldAssignment(std::string_view bytes);

// ---- rank to coordinator: what it has written, where only the bytes differ

// 32 bytes and four an item.
std::optional<std::string> EncodeSamePlacement(const PlanKey& key, std::string_view save_id,
                                               std::span<const uint32_t> crc32);
struct ToldPlacement {
  std::string save_id;
  std::array<std::byte, 15> key;  // its beginning
  std::string_view crc32;         // of the message: little-endian, one an item
};
// nullopt: an EncodeOutcomeMessage, for DecodeOutcomeMessage.
Result<std::optional<ToldPlacement>> DecodeToldPlacement(std::string_view bytes);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_PLAN_CACHE_WIRE_H_
