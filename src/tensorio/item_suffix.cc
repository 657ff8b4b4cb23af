#include "tensorio/item_suffix.h"

#include <cassert>

#include "base/bytes.h"
#include "base/checksum.h"
#include "tensorio/records.h"

namespace dcp {
namespace {

constexpr size_t kCrcInDescriptor = 4;  // behind the signature

}  // namespace

ItemSuffix::ItemSuffix(zip::LayoutWriter writer, uint64_t table_size, uint32_t pickle_crc)
    : table_size_(table_size), crcs_hash_(records::Hash(records::kHashStart, pickle_crc)) {
  const size_t payload = writer.records() - 1;
  uint64_t names = records::Hash(records::kHashStart, "data.pkl data/0");
  writer.EndRecord(0, &bytes_);
  if (!bytes_.empty()) payload_.descriptor = kCrcInDescriptor;
  if (table_size > 0) {
    names = records::Hash(names, records::kBlockTable);
    writer.BeginRecord(records::kBlockTable, table_size, &bytes_);
    table_begin_ = bytes_.size();
    table_.descriptor = table_begin_ + table_size + kCrcInDescriptor;
    writer.EndRecord(0, &bytes_);
  }
  const size_t id = records::AppendTail(names, 0, &writer, &bytes_);
  id_names_crc_ = Crc32(0, AsBytes(bytes_).subspan(id, records::kIdSize / 2));
  id_begin_ = id + table_size;
  id_.descriptor = id_begin_ + records::kIdSize + kCrcInDescriptor;

  const size_t directory = size() - writer.DirectorySize();
  payload_.directory = directory + writer.CrcInDirectory(payload);
  if (table_size > 0) table_.directory = directory + writer.CrcInDirectory(payload + 1);
  id_.directory = directory + writer.CrcInDirectory(writer.records() - 1);
}

void ItemSuffix::Put(const CrcPlaces& places, uint32_t crc, char* suffix) {
  if (places.descriptor != CrcPlaces::kNone) {
    std::memcpy(suffix + places.descriptor, &crc, sizeof crc);
  }
  std::memcpy(suffix + places.directory, &crc, sizeof crc);
}

void ItemSuffix::Append(uint32_t payload_crc, std::string_view table, std::string* out) const {
  assert(table.size() == table_size_);
  const size_t begin = out->size();
  out->reserve(begin + size());
  out->append(bytes_, 0, table_begin_).append(table).append(bytes_, table_begin_);
  char* suffix = out->data() + begin;

  uint64_t crcs = records::Hash(crcs_hash_, payload_crc);
  Put(payload_, payload_crc, suffix);
  if (table_size_ > 0) {
    const uint32_t table_crc = Crc32(0, AsBytes(table));
    crcs = records::Hash(crcs, table_crc);
    Put(table_, table_crc, suffix);
  }
  char* half = suffix + id_begin_ + records::kIdSize / 2;
  records::WriteDigits(crcs, half);
  Put(id_, Crc32(id_names_crc_, AsBytes(half, records::kIdSize / 2)), suffix);
}

}  // namespace dcp
