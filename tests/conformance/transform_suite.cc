#include "conformance/transform_suite.h"

#include <algorithm>
#include <thread>

#include "support/checks.h"

namespace dcp {
namespace {

// Half text, half noise, so that a compressor meets both.
std::string Sample(size_t size, uint32_t seed) {
  std::string text(size, '\0');
  uint32_t state = seed;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525u + 1013904223u;
    text[i] = i / 5000 % 2 == 0 ? static_cast<char>('A' + i % 50) : static_cast<char>(state >> 24);
  }
  return text;
}

// Pushes `in` in pieces of `piece` bytes and finishes.
Result<std::string> Run(TransformStream& stream, std::string_view in, size_t piece) {
  std::string all;
  ByteSink sink = [&](Bytes out) {
    all.append(AsText(out));
    return Status::Ok();
  };
  for (size_t at = 0; at < in.size(); at += piece) {
    DCP_RETURN_IF_ERROR(stream.Push(AsBytes(in.substr(at, piece)), sink));
  }
  DCP_RETURN_IF_ERROR(stream.Finish(sink));
  return all;
}

Result<std::string> Encode(const Transform& transform, std::string_view in, size_t piece) {
  DCP_ASSIGN_OR_RETURN(auto stream, transform.NewEncoder());
  return Run(*stream, in, piece);
}

Result<std::string> Decode(const Transform& transform, std::string_view in, size_t piece) {
  DCP_ASSIGN_OR_RETURN(auto stream, transform.NewDecoder(transform.version()));
  return Run(*stream, in, piece);
}

std::string DescriptorIsLegal(TransformSuite& suite) {
  const Transform& transform = *suite.transform;
  CHECK_THAT(!transform.name().empty());
  CHECK_THAT(transform.name().find('/') == std::string_view::npos);
  CHECK_THAT(!transform.version().empty());
  CHECK_THAT(transform.Descriptor() ==
             std::string(transform.name()) + "/" + std::string(transform.version()));
  return {};
}

std::string RoundTrip(TransformSuite& suite) {
  for (size_t size : {0, 1, 2, 100, 65536, 300000}) {
    std::string sample = Sample(size, 17);
    auto encoded = Encode(*suite.transform, sample, 1 << 20);
    CHECK_OK(encoded);
    auto decoded = Decode(*suite.transform, *encoded, 1 << 20);
    CHECK_OK(decoded);
    CHECK_THAT(*decoded == sample);
  }
  return {};
}

std::string AnySplit(TransformSuite& suite) {
  std::string sample = Sample(40000, 3);
  for (size_t in_piece : {1, 7, 4096, 40000}) {
    auto encoded = Encode(*suite.transform, sample, in_piece);
    CHECK_OK(encoded);
    for (size_t out_piece : {1, 13, 5000, 100000}) {
      auto decoded = Decode(*suite.transform, *encoded, out_piece);
      CHECK_OK(decoded);
      CHECK_THAT(*decoded == sample);
    }
  }
  return {};
}

std::string InputIsLeftAlone(TransformSuite& suite) {
  std::string sample = Sample(10000, 9);
  const std::string before = sample;
  CHECK_OK(Encode(*suite.transform, sample, 3000));
  CHECK_THAT(sample == before);
  auto encoded = Encode(*suite.transform, sample, 3000);
  CHECK_OK(encoded);
  const std::string encoded_before = *encoded;
  CHECK_OK(Decode(*suite.transform, *encoded, 3000));
  CHECK_THAT(*encoded == encoded_before);
  return {};
}

std::string VersionsAreChecked(TransformSuite& suite) {
  const Transform& transform = *suite.transform;
  std::string leading(transform.version().substr(0, transform.version().find('.')));
  CHECK_OK(transform.NewDecoder(leading));
  CHECK_OK(transform.NewDecoder(leading + ".99.1"));
  for (const std::string& other :
       {leading + "0", std::string("999"), std::string(), std::string("x"), "." + leading}) {
    auto refused = transform.NewDecoder(other);
    CHECK_CODE(refused, Code::kUnsupported);
    CHECK_THAT(refused.status().message().find(transform.name()) != std::string::npos);
  }
  return {};
}

std::string TruncationIsNoticed(TransformSuite& suite) {
  if (!suite.notices_truncation) return {};
  std::string sample = Sample(3000, 4);
  auto encoded = Encode(*suite.transform, sample, 3000);
  CHECK_OK(encoded);
  for (size_t size = 0; size < encoded->size(); ++size) {
    CHECK_CODE(Decode(*suite.transform, std::string_view(*encoded).substr(0, size), 1000),
               Code::kCorrupt);
  }
  return {};
}

std::string GarbageNeverCrashes(TransformSuite& suite) {
  std::string sample = Sample(2000, 4);
  auto encoded = Encode(*suite.transform, sample, 3000);
  CHECK_OK(encoded);
  uint32_t state = 99;
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = *encoded;
    state = state * 1664525u + 1013904223u;
    damaged[(state >> 8) % damaged.size()] ^= static_cast<char>(1 + i % 255);
    auto decoded = Decode(*suite.transform, damaged, 500);
    // Either noticed or other bytes; what matters is that it ends.
    CHECK_THAT(decoded.ok() || decoded.status().code() == Code::kCorrupt ||
               decoded.status().code() == Code::kLimit);
  }
  return {};
}

std::string SinkErrorsComeBack(TransformSuite& suite) {
  std::string sample = Sample(500000, 6);
  auto encoded = Encode(*suite.transform, sample, 1 << 20);
  CHECK_OK(encoded);
  ByteSink full = [](Bytes) { return Status(Code::kIo, "disk full"); };
  for (bool decode : {false, true}) {
    auto stream = decode ? suite.transform->NewDecoder(suite.transform->version())
                         : suite.transform->NewEncoder();
    CHECK_OK(stream);
    Status status = (*stream)->Push(AsBytes(decode ? *encoded : sample), full);
    if (status.ok()) status = (*stream)->Finish(full);
    CHECK_CODE(status, Code::kIo);
    CHECK_THAT(status.message() == "disk full");
  }
  return {};
}

std::string StreamsAreIndependent(TransformSuite& suite) {
  std::vector<std::string> failures(4);
  {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < failures.size(); ++t) {
      threads.emplace_back([&, t] {
        std::string sample = Sample(50000, static_cast<uint32_t>(t));
        auto work = [&]() -> std::string {
          for (int i = 0; i < 5; ++i) {
            auto encoded = Encode(*suite.transform, sample, 700);
            CHECK_OK(encoded);
            auto decoded = Decode(*suite.transform, *encoded, 900);
            CHECK_OK(decoded);
            CHECK_THAT(*decoded == sample);
          }
          return {};
        };
        failures[t] = work();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (const std::string& failure : failures) {
    if (!failure.empty()) return failure;
  }
  return {};
}

std::string WorksInAChain(TransformSuite& suite) {
  TransformRegistry registry;
  if (!registry.Find(suite.transform->Descriptor()).ok()) CHECK_OK(registry.Add(suite.transform));
  const std::shared_ptr<const Transform> transforms[] = {suite.transform, suite.transform};
  std::string sample = Sample(100000, 12);
  for (size_t count : {0, 1, 2}) {
    auto used = std::span(transforms).first(count);
    auto chain = EncodeChain::Create(used);
    CHECK_OK(chain);
    std::string encoded;
    ByteSink sink = [&](Bytes out) {
      encoded.append(AsText(out));
      return Status::Ok();
    };
    CHECK_OK(chain->Push(AsBytes(sample), sink));
    CHECK_OK(chain->Finish(sink));
    std::vector<std::string> descriptors = DescriptorsFor(used);
    CHECK_THAT(descriptors.size() == count);
    auto decoded = DecodeAll(registry, descriptors, AsBytes(encoded), sample.size());
    CHECK_OK(decoded);
    CHECK_THAT(*decoded == sample);
    CHECK_CODE(DecodeAll(registry, descriptors, AsBytes(encoded), sample.size() - 1), Code::kLimit);
  }
  return {};
}

}  // namespace

#define TRANSFORM_TEST(function) \
  CMUnitTest { #function, CheckedWith < TransformSuite, function>, nullptr, nullptr, &suite }

int RunTransformSuite(TransformSuite& suite) {
  const CMUnitTest tests[] = {
      TRANSFORM_TEST(DescriptorIsLegal),
      TRANSFORM_TEST(RoundTrip),
      TRANSFORM_TEST(AnySplit),
      TRANSFORM_TEST(InputIsLeftAlone),
      TRANSFORM_TEST(VersionsAreChecked),
      TRANSFORM_TEST(TruncationIsNoticed),
      TRANSFORM_TEST(GarbageNeverCrashes),
      TRANSFORM_TEST(SinkErrorsComeBack),
      TRANSFORM_TEST(StreamsAreIndependent),
      TRANSFORM_TEST(WorksInAChain),
  };
  return cmocka_run_group_tests_name(suite.name.c_str(), tests, nullptr, nullptr);
}

}  // namespace dcp
