#include "tensorio/records.h"

#include "base/bytes.h"
#include "base/checksum.h"

namespace dcp::records {
namespace {

struct Constant {
  std::string_view name;
  std::string_view bytes;
  uint32_t crc32;
};

Constant Make(std::string_view name, std::string_view bytes) {
  return {name, bytes, Crc32(0, AsBytes(bytes))};
}

constexpr std::string_view kSerializationId = ".data/serialization_id";

}  // namespace

void Append(std::string_view name, std::string_view bytes, uint32_t crc32,
            zip::LayoutWriter* writer, std::string* out) {
  writer->BeginRecord(name, bytes.size(), out);
  if (out != nullptr) out->append(bytes);
  writer->EndRecord(crc32, out);
}

void Append(std::string_view name, std::string_view bytes, zip::LayoutWriter* writer,
            std::string* out) {
  Append(name, bytes, Crc32(0, AsBytes(bytes)), writer, out);
}

void AppendHead(zip::LayoutWriter* writer, std::string* out) {
  static const Constant kHead[] = {Make(".format_version", "1"), Make(".storage_alignment", "64"),
                                   Make(kByteOrder, "little")};
  for (const Constant& record : kHead) {
    Append(record.name, record.bytes, record.crc32, writer, out);
  }
}

size_t AppendTail(uint64_t names_hash, uint64_t crcs_hash, zip::LayoutWriter* writer,
                  std::string* out) {
  static const Constant kVersion = Make("version", "3\n");
  Append(kVersion.name, kVersion.bytes, kVersion.crc32, writer, out);
  char id[kIdSize];
  WriteDigits(names_hash, id);
  WriteDigits(crcs_hash, id + kIdSize / 2);
  writer->BeginRecord(kSerializationId, kIdSize, out);
  const size_t begin = out->size();
  out->append(id, kIdSize);
  writer->EndRecord(Crc32(0, AsBytes(id, kIdSize)), out);
  writer->Finish(out);
  return begin;
}

void WriteDigits(uint64_t hash, char* to) {
  for (size_t i = kIdSize / 2; i-- > 0; hash /= 10) to[i] = static_cast<char>('0' + hash % 10);
}

uint64_t Hash(uint64_t hash, std::string_view bytes) {
  for (char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace dcp::records
