// The many small objects of a `.metadata` file, a few bytes each: chunks, keys and places of items
// are taken out of the pickle's graph as soon as they are complete.
#ifndef DCP_METADATA_FOLDED_ROWS_H_
#define DCP_METADATA_FOLDED_ROWS_H_

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/shape.h"
#include "metadata/id_table.h"
#include "pickle/graph.h"
#include "pickle/pod_array.h"

namespace dcp {

// A string that a row names: a node of the graph, or one of FoldedRows' own texts.
struct TextRef {
  pickle::NodeId node = pickle::kNoNode;
  uint32_t own = 0;  // when there is no node
};

// What is folded is ordinary: exactly the fields of its class, each of the right type and range.
// Everything else stays in the graph, for the decoder to judge. Rows take no more than the input
// does; past that, nothing is folded.
class FoldedRows final : public pickle::Folder {
 public:
  explicit FoldedRows(size_t input_size);

  uint32_t Wants(const pickle::Graph& graph, pickle::NodeId callee) override;
  bool Fold(const pickle::Graph& graph, uint32_t what, pickle::NodeId object, pickle::NodeId state,
            uint32_t* row) override;
  bool FoldPlain(const pickle::Graph& graph, uint32_t what, pickle::NodeId object,
                 const pickle::PlainState& state, uint32_t* row) override;

  // A ChunkStorageMetadata's numbers.
  struct Chunk {
    Shape offsets;
    Shape sizes;
  };
  // A MetadataIndex.
  struct Index {
    TextRef fqn;
    std::optional<uint64_t> hint;  // absent: no integer >= 0
    bool has_offset = false;
    Shape offset;
  };
  // A _StorageInfo. offset + length < 2^63.
  struct Stored {
    TextRef path;
    uint64_t offset = 0;
    uint64_t length = 0;
    std::optional<uint32_t> crc32;
    pickle::NodeId transforms = pickle::kNoNode;
  };
  // A TensorStorageMetadata; its properties are those of Properties(properties).
  struct Tensor {
    uint32_t properties = 0;
    Shape size;
    size_t chunk_count = 0;
    std::vector<int64_t> boxes;  // as an Entry's
  };
  // The properties of tensors: one node, or, when there is none, what the tuple that is their state
  // begins with.
  struct PropertyNodes {
    pickle::NodeId whole = pickle::kNoNode;
    std::array<pickle::NodeId, 5> parts;
    bool operator==(const PropertyNodes&) const = default;
  };
  // False when the row is one of another class. Shapes in `out` are cleared and filled.
  bool Read(uint32_t row, Chunk* out) const;
  bool Read(uint32_t row, Index* out) const;
  bool Read(uint32_t row, Stored* out) const;
  bool Read(uint32_t row, Tensor* out) const;

  size_t property_count() const { return properties_.size(); }
  const PropertyNodes& Properties(uint32_t id) const { return properties_[id]; }

  // What a MetadataIndex begins with; false when the row is no such one.
  bool Peek(uint32_t row, TextRef* fqn, std::optional<uint64_t>* hint) const;

  size_t own_texts() const { return text_ends_.size(); }
  std::string_view OwnText(uint32_t own) const;

 private:
  class Writer;
  static constexpr size_t kMostFields = 5;
  static constexpr size_t kMostChunks = 8;  // of a tensor that is folded whole
  // What a class is made of, by position; null for what is absent.
  using Fields = std::array<const pickle::PlainValue*, kMostFields>;
  size_t FieldOf(const pickle::Graph& graph, uint32_t what, pickle::NodeId object, size_t place,
                 const pickle::PlainValue& key);
  bool SortFields(const pickle::Graph& graph, uint32_t what, pickle::NodeId object,
                  std::span<const pickle::PlainValue> pairs, Fields* out);
  bool IsSize(const pickle::Graph& graph, pickle::NodeId object, pickle::NodeId callee);
  bool PutDims(const pickle::Graph& graph, pickle::NodeId object, const pickle::PlainValue& value,
               Writer* out, size_t* ndim);
  bool PutText(const pickle::Graph& graph, pickle::NodeId object, const pickle::PlainValue& value,
               Writer* out);
  uint32_t OwnTextOf(std::string_view text);
  bool PutChunk(const pickle::Graph& graph, pickle::NodeId object, const Fields& fields,
                Writer* out);
  bool PutIndex(const pickle::Graph& graph, pickle::NodeId object, const Fields& fields,
                Writer* out);
  bool PutStored(const pickle::Graph& graph, pickle::NodeId object, const Fields& fields,
                 Writer* out);
  bool PutProperties(const pickle::Graph& graph, const pickle::PlainValue& value, Writer* out);
  bool PutTensor(const pickle::Graph& graph, pickle::NodeId object, const Fields& fields,
                 Writer* out);
  bool SortAll(const pickle::Graph& graph, uint32_t what, pickle::NodeId object,
               std::span<const pickle::PlainValue> pairs);
  bool SortForm(const pickle::Graph& graph, uint32_t what, pickle::NodeId object,
                const pickle::PlainState& state);

  const size_t input_size_;
  pickle::PodArray<uint8_t> rows_;
  pickle::PodArray<char> texts_;
  pickle::PodArray<uint64_t> text_ends_;
  IdTable text_ids_;
  uint32_t last_own_ = 0;

  pickle::PodArray<PropertyNodes> properties_;

  // The fields of a state and of the chunks in it. Those of a state that has a form are kept.
  struct Sorted {
    uint64_t form = 0;
    uint32_t what = 0;
    Fields fields;
    std::array<Fields, kMostChunks> chunks;
    bool has_properties = false;
    uint32_t properties = 0;  // of a tensor, when all of the form have the same
  };
  std::array<Sorted, 16> sorted_;
  Sorted* current_ = nullptr;  // of the state that is folded now

  // Nodes as last seen, where they are known to stay: classes, keys of states, torch.Size.
  std::array<pickle::NodeId, 5> classes_;
  std::array<std::array<pickle::NodeId, kMostFields>, 5> keys_;
  // Which field stood at each place of the state read last.
  std::array<std::array<uint8_t, kMostFields>, 5> order_{};
  pickle::NodeId size_class_ = pickle::kNoNode;
};

}  // namespace dcp

#endif  // DCP_METADATA_FOLDED_ROWS_H_
