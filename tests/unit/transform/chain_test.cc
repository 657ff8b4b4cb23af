// Registry, nesting order, limits, and what PyTorch wrote.
#include <fstream>
#include <sstream>

#include "support/case_swap.h"
#include "support/checks.h"
#include "transform/transform.h"

namespace dcp {
namespace {

using Strings = std::vector<std::string>;

// Puts a letter before its first output, so that what was outermost shows.
class Tagging final : public Transform {
 public:
  Tagging(std::string name, char tag) : name_(std::move(name)), tag_(tag) {}
  std::string_view name() const override { return name_; }
  std::string_view version() const override { return "2.1"; }
  Result<std::unique_ptr<TransformStream>> NewEncoder() const override {
    return std::unique_ptr<TransformStream>(std::make_unique<Stream>(tag_, true));
  }
  Result<std::unique_ptr<TransformStream>> NewDecoder(std::string_view) const override {
    return std::unique_ptr<TransformStream>(std::make_unique<Stream>(tag_, false));
  }

 private:
  struct Stream final : TransformStream {
    Stream(char with, bool adds) : tag(with), add(adds) {}
    Status Push(Bytes in, const ByteSink& out) override {
      if (!seen && add) DCP_RETURN_IF_ERROR(out(AsBytes(&tag, 1)));
      if (!seen && !add) {
        if (AsText(in.first(1))[0] != tag) return Status(Code::kCorrupt, "another tag");
        in = in.subspan(1);
      }
      seen = true;
      return in.empty() ? Status::Ok() : out(in);
    }
    Status Finish(const ByteSink&) override { return Status::Ok(); }
    char tag;
    bool add;
    bool seen = false;
  };
  std::string name_;
  char tag_;
};

Result<std::string> Encode(std::span<const std::shared_ptr<const Transform>> transforms,
                           std::string_view text) {
  DCP_ASSIGN_OR_RETURN(EncodeChain chain, EncodeChain::Create(transforms));
  std::string all;
  ByteSink sink = [&](Bytes out) {
    all.append(AsText(out));
    return Status::Ok();
  };
  DCP_RETURN_IF_ERROR(chain.Push(AsBytes(text), sink));
  DCP_RETURN_IF_ERROR(chain.Finish(sink));
  return all;
}

std::string TheLastSeesTheDataFirst() {
  const std::shared_ptr<const Transform> transforms[] = {std::make_shared<Tagging>("first", 'F'),
                                                         std::make_shared<Tagging>("last", 'L')};
  auto encoded = Encode(transforms, "data");
  CHECK_OK(encoded);
  CHECK_THAT(*encoded == "FLdata");
  Strings descriptors = DescriptorsFor(transforms);
  CHECK_THAT((descriptors == Strings{"last/2.1", "first/2.1"}));
  TransformRegistry registry;
  CHECK_OK(registry.Add(transforms[0]));
  CHECK_OK(registry.Add(transforms[1]));
  auto decoded = DecodeAll(registry, descriptors, AsBytes(*encoded), 4);
  CHECK_OK(decoded);
  CHECK_THAT(*decoded == "data");
  CHECK_CODE(DecodeAll(registry, Strings{"first/2.1", "last/2.1"}, AsBytes(*encoded), 4),
             Code::kCorrupt);
  return {};
}

std::string TheRegistry() {
  TransformRegistry registry;
  CHECK_CODE(registry.Find("stream.none/1"), Code::kUnsupported);
  auto unknown = registry.Find("stream.none/1");
  CHECK_THAT(unknown.status().message().find("'stream.none/1'") != std::string::npos);
  CHECK_CODE(registry.Find(std::string(10000, 'x')), Code::kUnsupported);
  CHECK_THAT(registry.Find(std::string(10000, 'x')).status().message().size() < 500);
  CHECK_OK(registry.Add(NewCaseSwapTransform()));
  CHECK_CODE(registry.Add(NewCaseSwapTransform()), Code::kAlreadyExists);
  CHECK_CODE(registry.Add(nullptr), Code::kInvalidArgument);
  CHECK_CODE(registry.Add(std::make_shared<Tagging>("", 'x')), Code::kInvalidArgument);
  CHECK_CODE(registry.Add(std::make_shared<Tagging>("a/b", 'x')), Code::kInvalidArgument);
  CHECK_OK(registry.Find("stream.rot13/1"));
  CHECK_OK(registry.Find("stream.rot13"));
  CHECK_THAT(registry.Descriptors().back() == "stream.rot13/1");
  CHECK_THAT((registry.Descriptors().size() == 2) == (NewZstdTransform(3) != nullptr));
  for (const char* wrong : {"stream.rot13/2", "stream.rot13", "stream.rot13/", "stream.rot13/10"}) {
    CHECK_CODE(DecodeAll(registry, Strings{wrong}, AsBytes("x"), 10), Code::kUnsupported);
  }
  return {};
}

std::string TooManyStages() {
  TransformRegistry registry;
  CHECK_OK(registry.Add(NewCaseSwapTransform()));
  CHECK_CODE(DecodeAll(registry, Strings(9, "stream.rot13/1"), AsBytes("x"), 10),
             Code::kUnsupported);
  std::vector<std::shared_ptr<const Transform>> many(9, NewCaseSwapTransform());
  CHECK_CODE(EncodeChain::Create(many), Code::kInvalidArgument);
  many.assign(1, nullptr);
  CHECK_CODE(EncodeChain::Create(many), Code::kInvalidArgument);
  return {};
}

std::string CaseSwapping() {
  const std::shared_ptr<const Transform> transforms[] = {NewCaseSwapTransform()};
  auto encoded = Encode(transforms, "Hello, World 123 @[`{ \xc1\xe1");
  CHECK_OK(encoded);
  CHECK_THAT(*encoded == "hELLO, wORLD 123 @[`{ \xc1\xe1");
  return {};
}

std::string FilesOfPyTorch() {
  TransformRegistry registry;
  CHECK_OK(registry.Add(NewCaseSwapTransform()));
  struct Case {
    const char* path;
    const char* descriptor;
  };
  // Each file holds a few items one after the other; all are torch.save archives.
  for (Case golden :
       {Case{"torch-2.15/w1/rot13", "stream.rot13/1"}, Case{"torch-2.13/w1/zstd", "stream.zstd/1"},
        Case{"torch-2.15/w1/zstd", "stream.zstd/1"}}) {
    if (!registry.Find(golden.descriptor).ok()) continue;  // zstd is not built in
    std::string path = std::string(DCP_FIXTURES "/golden/") + golden.path + "/ckpt/__0_0.distcp";
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    CHECK_THAT(text.str().size() > 1000);
    auto decoded = DecodeAll(registry, Strings{golden.descriptor}, AsBytes(text.str()), 1 << 20);
    CHECK_OK(decoded);
    CHECK_THAT(decoded->starts_with("PK\x03\x04"));
    CHECK_THAT(decoded->find("archive/data.pkl") != std::string::npos);
    CHECK_THAT(decoded->find("serialization_id") != std::string::npos);
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      cmocka_unit_test(Checked<TheLastSeesTheDataFirst>), cmocka_unit_test(Checked<TheRegistry>),
      cmocka_unit_test(Checked<TooManyStages>),           cmocka_unit_test(Checked<CaseSwapping>),
      cmocka_unit_test(Checked<FilesOfPyTorch>),
  };
  return cmocka_run_group_tests_name("transform/chain", tests, nullptr, nullptr);
}
