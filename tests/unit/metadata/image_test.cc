#include "metadata/image.h"

#include <random>

#include "support/cmocka.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

// `chunks` chunks of one tensor, dealt to `files` files, and an object.
Metadata Sample(size_t chunks, size_t files, uint64_t seed) {
  std::mt19937_64 random(seed);
  Metadata metadata;
  for (size_t i = 0; i < files; ++i) {
    metadata.files.push_back(fmt::format("__{}_0.g{}.distcp", i, 1 + seed % 9));
  }
  Entry& object = metadata.entries.emplace_back();
  object.name = "step";
  object.locations.resize(1);
  Entry& tensor = metadata.entries.emplace_back();
  tensor.name = "weight";
  tensor.kind = EntryKind::kTensor;
  tensor.size = {static_cast<int64_t>(chunks), 4};
  for (size_t i = 0; i < chunks; ++i) {
    tensor.boxes.insert(tensor.boxes.end(), {static_cast<int64_t>(i), 0, 1, 4});
  }
  tensor.locations.resize(chunks);
  size_t number = 0;
  for (Entry& entry : metadata.entries) {
    for (Location& at : entry.locations) {
      at.file = static_cast<uint32_t>(number * files / (chunks + 1));
      at.offset = 700 * number++;
      at.length = 640;
      at.has_crc32 = true;
      const int width = static_cast<int>(random() % 33);  // small ones, too
      at.crc32 = width == 0 ? 0 : static_cast<uint32_t>(random()) >> (32 - width);
    }
  }
  metadata.planner_data.emplace();
  metadata.version = "1.0.0";
  metadata.storage_meta.emplace();
  metadata.storage_meta->checkpoint_id = fmt::format("/runs/\xff/step-{}", seed * seed * seed);
  metadata.storage_meta->save_id = fmt::format("save-{:08}", seed);
  return metadata;
}

std::vector<uint32_t> Crcs(const Metadata& metadata) {
  std::vector<uint32_t> crcs;
  for (const Entry& entry : metadata.entries) {
    for (const Location& at : entry.locations) {
      if (!at.missing()) crcs.push_back(at.crc32);
    }
  }
  return crcs;
}

bool Patch(MetadataImage* image, const Metadata& to, size_t workers) {
  const std::vector<uint32_t> crcs = Crcs(to);
  return image->Patch({crcs, to.files, to.storage_meta->checkpoint_id.value_or(""),
                       to.storage_meta->save_id.value_or("")},
                      workers);
}

std::string PatchedIsRebuilt() {
  for (size_t chunks : {0u, 1u, 4094u, 4095u, 4096u, 20000u}) {
    Metadata first = Sample(chunks, 7, 1);
    if (chunks > 10) first.entries[1].locations[5].file = Location::kMissing;
    Result<MetadataImage> image = MetadataImage::Encode(first, Dialect::kDefault);
    CHECK_OK(image);
    CHECK_THAT(AsText(image->bytes()) == *EncodeMetadata(first, Dialect::kDefault));
    for (uint64_t seed = 2; seed < 13; ++seed) {
      Metadata next = Sample(chunks, 7, seed);
      if (chunks > 10) next.entries[1].locations[5].file = Location::kMissing;
      CHECK_THAT(Patch(&*image, next, 1 + seed % 3));
      CHECK_THAT(AsText(image->bytes()) == *EncodeMetadata(next, Dialect::kDefault));
    }
    std::string given;
    CHECK_OK(image->Give([&](Bytes piece) {
      given += AsText(piece);
      return Status::Ok();
    }));
    CHECK_THAT(given == AsText(image->bytes()));
    CHECK_OK(DecodeMetadata(image->bytes(), "the image"));
  }
  return {};
}

std::string WhatDoesNotFitChangesNothing() {
  const Metadata first = Sample(10, 2, 1);
  Result<MetadataImage> image = MetadataImage::Encode(first, Dialect::kDefault);
  CHECK_OK(image);
  const std::string before(AsText(image->bytes()));
  Metadata longer = Sample(10, 2, 2);
  longer.files[1] = "__1_0.g10.distcp";
  CHECK_THAT(!Patch(&*image, longer, 1));
  CHECK_THAT(!Patch(&*image, Sample(11, 2, 2), 1));
  CHECK_THAT(!Patch(&*image, Sample(10, 3, 2), 1));
  CHECK_THAT(AsText(image->bytes()) == before);
  Metadata lacking = Sample(10, 2, 1);
  lacking.entries[1].locations[3].has_crc32 = false;
  image = MetadataImage::Encode(lacking, Dialect::kDefault);
  CHECK_OK(image);
  CHECK_THAT(!Patch(&*image, first, 1));
  image = MetadataImage::Encode(first, Dialect::kTorch21);  // has no ids
  CHECK_OK(image);
  CHECK_THAT(!Patch(&*image, first, 1));
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::PatchedIsRebuilt>),
      cmocka_unit_test(dcp::Checked<dcp::WhatDoesNotFitChangesNothing>),
  };
  return cmocka_run_group_tests_name("metadata/image", tests, nullptr, nullptr);
}
