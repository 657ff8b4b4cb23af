// Hostile and odd zstd frames.
#include "support/checks.h"
#include "transform/transform.h"

namespace dcp {
namespace {

using Strings = std::vector<std::string>;

const Strings kZstd = {"stream.zstd/1"};

Result<std::string> Encode(std::string_view text) {
  DCP_ASSIGN_OR_RETURN(auto stream, NewZstdTransform(3)->NewEncoder());
  std::string all;
  ByteSink sink = [&](Bytes out) {
    all.append(AsText(out));
    return Status::Ok();
  };
  DCP_RETURN_IF_ERROR(stream->Push(AsBytes(text), sink));
  DCP_RETURN_IF_ERROR(stream->Finish(sink));
  return all;
}

// A frame of one RLE block of `size` zero bytes that declares a window of 2^log bytes (RFC 8878).
std::string FrameWithWindow(int log, uint32_t size) {
  std::string frame("\x28\xb5\x2f\xfd\x00", 5);
  frame += static_cast<char>((log - 10) << 3);
  AppendLe<uint16_t>(frame, static_cast<uint16_t>((size << 3 | 1 << 1 | 1) & 0xffff));
  frame += static_cast<char>(size >> 13);
  frame += '\0';
  return frame;
}

std::string OneFrameAnItem() {
  auto encoded = Encode("text");
  CHECK_OK(encoded);
  CHECK_THAT(encoded->starts_with("\x28\xb5\x2f\xfd"));
  auto empty = Encode("");
  CHECK_OK(empty);
  CHECK_THAT(empty->starts_with("\x28\xb5\x2f\xfd"));
  return {};
}

std::string WindowsAreCapped() {
  TransformRegistry registry;
  for (int log : {10, 20, 27}) {
    auto decoded = DecodeAll(registry, kZstd, AsBytes(FrameWithWindow(log, 1000)), 1000);
    CHECK_OK(decoded);
    CHECK_THAT(*decoded == std::string(1000, '\0'));
  }
  for (int log : {28, 31, 41}) {
    CHECK_CODE(DecodeAll(registry, kZstd, AsBytes(FrameWithWindow(log, 1000)), 1000), Code::kLimit);
  }
  return {};
}

std::string BombsStopAtTheLimit() {
  TransformRegistry registry;
  auto bomb = Encode(std::string(32 << 20, '\0'));
  CHECK_OK(bomb);
  CHECK_THAT(bomb->size() < 10000);
  CHECK_CODE(DecodeAll(registry, kZstd, AsBytes(*bomb), 1 << 20), Code::kLimit);
  auto twice = Encode(*bomb);
  CHECK_OK(twice);
  CHECK_CODE(DecodeAll(registry, Strings(2, "stream.zstd/1"), AsBytes(*twice), 1 << 20),
             Code::kLimit);
  // Skippable frames that only the last stage swallows: nothing comes out, but the stages before
  // it may not run for ever.
  std::string skippable;
  AppendLe<uint32_t>(skippable, 0x184d2a50);
  AppendLe<uint32_t>(skippable, 32 << 20);
  skippable.append(32 << 20, '\0');
  auto hidden = Encode(skippable);
  CHECK_OK(hidden);
  CHECK_CODE(DecodeAll(registry, Strings(2, "stream.zstd/1"), AsBytes(*hidden), 1 << 20),
             Code::kLimit);
  return {};
}

std::string FramesInARow() {
  TransformRegistry registry;
  auto one = Encode("one");
  auto two = Encode("two");
  CHECK_OK(one);
  CHECK_OK(two);
  auto both = DecodeAll(registry, kZstd, AsBytes(*one + *two), 6);
  CHECK_OK(both);
  CHECK_THAT(*both == "onetwo");
  CHECK_CODE(DecodeAll(registry, kZstd, AsBytes(*one + "rest"), 100), Code::kCorrupt);
  CHECK_CODE(DecodeAll(registry, kZstd, AsBytes(*one + two->substr(0, 3)), 100), Code::kCorrupt);
  CHECK_CODE(DecodeAll(registry, kZstd, {}, 100), Code::kCorrupt);
  CHECK_CODE(DecodeAll(registry, kZstd, AsBytes("not zstd"), 100), Code::kCorrupt);
  return {};
}

std::string Levels() {
  CHECK_CODE(NewZstdTransform(1000)->NewEncoder(), Code::kInvalidArgument);
  CHECK_OK(NewZstdTransform(1000)->NewDecoder("1"));
  CHECK_OK(NewZstdTransform(-5)->NewEncoder());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  if (NewZstdTransform(3) == nullptr) {
    std::puts("zstd is not built in: its tests are left out");
    return 0;
  }
  const CMUnitTest tests[] = {
      cmocka_unit_test(Checked<OneFrameAnItem>),
      cmocka_unit_test(Checked<WindowsAreCapped>),
      cmocka_unit_test(Checked<BombsStopAtTheLimit>),
      cmocka_unit_test(Checked<FramesInARow>),
      cmocka_unit_test(Checked<Levels>),
  };
  return cmocka_run_group_tests_name("transform/zstd", tests, nullptr, nullptr);
}
