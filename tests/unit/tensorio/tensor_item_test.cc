#include "tensorio/tensor_item.h"

#include <functional>

#include "base/checksum.h"
#include "pickle/writer.h"
#include "support/cmocka.h"
#include "support/fixture_items.h"
#include "tensorio/records.h"
#include "zip/archive.h"

namespace dcp {
namespace {

// The row-major bytes of a whole item, by the way a reader takes; "" and *error on failure.
std::string ReadWhole(std::string_view bytes, StoredTensor* stored, std::string* error) {
  MemorySource source(AsBytes(bytes));
  Result<StoredTensor> parsed = ParseTensorItem(source);
  if (!parsed.ok()) {
    *error = parsed.status().ToString();
    return "";
  }
  *stored = *parsed;
  if (stored->form != TensorForm::kDense) {
    *error = stored->description;
    return "";
  }
  std::string payload(stored->data_size, '\0');
  bool checked = false;
  Status status = ReadPayload(
      source, *stored, {reinterpret_cast<std::byte*>(payload.data()), payload.size()}, &checked);
  if (!status.ok() || checked != stored->crc32.has_value()) *error = status.ToString();
  Result<Tensor> out = Tensor::Allocate(stored->dtype, stored->shape);
  if (!status.ok() || !out.ok()) return "";
  ExtractBox(*stored, AsBytes(payload), Shape(stored->shape.size(), 0), *out);
  return std::string(AsText(AsBytes(out->data, static_cast<size_t>(out->num_bytes()))));
}

void EveryStockTensorIsRead(void**) {
  int count = 0;
  int wrong = 0;
  for (const FixtureItem& item : FixtureItems()) {
    if (!item.tensor) continue;
    ++count;
    StoredTensor stored;
    std::string error;
    std::string bytes = ReadWhole(item.Bytes(), &stored, &error);
    if (error.empty() && DTypeName(stored.dtype) == item.dtype && stored.shape == item.shape &&
        Crc32(0, AsBytes(bytes)) == item.crc32 && !stored.block_table_offset) {
      continue;
    }
    print_message("%s at %lu: %s\n", item.file.c_str(), item.offset, error.c_str());
    ++wrong;
  }
  assert_true(count > 200);
  assert_int_equal(wrong, 0);
}

// An item around `payload`, which lies in memory as `strides` say.
std::string WriteItem(DType dtype, Dims shape, Dims strides, std::string_view payload,
                      bool block_checksums, std::string* error) {
  Result<TensorItemLayout> layout =
      TensorItemLayout::Create(dtype, shape, strides, block_checksums);
  if (!layout.ok()) {
    *error = layout.status().ToString();
    return "";
  }
  std::vector<uint32_t> blocks;
  for (size_t at = 0; at < payload.size(); at += kChecksumBlock) {
    blocks.push_back(Crc32(0, AsBytes(payload.substr(at, kChecksumBlock))));
  }
  std::string item = layout->prefix();
  item += payload;
  const uint32_t payload_crc = Crc32(0, AsBytes(payload));
  const size_t suffix = item.size();
  layout->AppendSuffix(payload_crc, blocks, &item);
  if (item.size() != layout->size()) *error = "size";
  if (layout->ItemCrc(payload_crc, AsBytes(item).subspan(suffix)) != Crc32(0, AsBytes(item))) {
    *error = "crc";
  }
  return item;
}

// The serialization id is ours; all else must be stock's bytes. Blanks the digits and their CRC,
// which stands behind them and in the directory.
std::string BlankId(std::string bytes) {
  MemorySource source(AsBytes(bytes));
  Result<zip::Archive> archive = zip::Archive::Open(&source);
  if (!archive.ok()) return "";
  const zip::Record* record = archive->Find(".data/serialization_id");
  if (record == nullptr) return "";
  std::string crc(reinterpret_cast<const char*>(&record->crc32), 4);
  bytes.replace(record->data_offset, 40, 40, '#');
  bytes.replace(record->data_offset + 44, 4, 4, '#');
  size_t in_directory = bytes.rfind(crc);
  if (in_directory != std::string::npos) bytes.replace(in_directory, 4, 4, '#');
  return bytes;
}

void ItemsAreStocksByteForByte(void**) {
  int count = 0;
  int wrong = 0;
  for (const FixtureItem& item : FixtureItems()) {
    if (!item.tensor || !item.file.starts_with("torch-2.1")) continue;
    if (item.file.starts_with("torch-2.1/")) continue;  // fewer records then
    std::string stock = item.Bytes();
    MemorySource source(AsBytes(stock));
    Result<StoredTensor> stored = ParseTensorItem(source);
    if (!stored.ok()) continue;
    ++count;
    std::string error;
    std::string ours = WriteItem(
        stored->dtype, stored->shape, stored->strides,
        std::string_view(stock).substr(stored->data_offset, stored->data_size), true, &error);
    if (error.empty() && BlankId(ours) == BlankId(stock) && !ours.empty()) continue;
    print_message("%s at %lu: %s\n", item.file.c_str(), item.offset, error.c_str());
    ++wrong;
  }
  assert_true(count > 150);
  assert_int_equal(wrong, 0);
}

void LargeItemsAreStocksByteForByte(void**) {
  int same = 0;
  for (int64_t size : {4294966700, 4294967294, 4294967295}) {
    std::string name = "items/uint8_" + std::to_string(size);
    std::string head = ReadFixture(name + ".prefix");
    std::string tail = ReadFixture(name + ".suffix");
    Result<TensorItemLayout> layout =
        TensorItemLayout::Create(DType::kUInt8, Shape{size}, Shape{1}, false);
    if (!layout.ok() || layout->prefix() != head) continue;
    uint32_t crc = LoadLe<uint32_t>(AsBytes(tail).data() + 4);
    std::string suffix;
    layout->AppendSuffix(crc, {}, &suffix);
    // Only the id and its CRCs may differ: 40 + 4 + 4 bytes.
    size_t differences = 0;
    for (size_t i = 0; i < suffix.size() && i < tail.size(); ++i) {
      if (suffix[i] != tail[i]) ++differences;
    }
    if (suffix.size() == tail.size() && suffix.size() == layout->suffix_size() &&
        differences <= 48) {
      ++same;
    }
  }
  assert_int_equal(same, 3);
}

std::string Ramp(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + i / 251);
  return bytes;
}

void BlockChecksumsCoverThePayload(void**) {
  int good = 0;
  // One byte more than one block, exactly two, two and a bit.
  for (int64_t size : {16385, 32768, 40000}) {
    std::string error;
    std::string payload = Ramp(static_cast<size_t>(size));
    std::string item = WriteItem(DType::kUInt8, Shape{size}, Shape{1}, payload, true, &error);
    StoredTensor stored;
    std::string read = ReadWhole(item, &stored, &error);
    if (!error.empty() || read != payload || !stored.block_table_offset) continue;
    bool match = true;
    for (size_t at = 0, i = 0; at < payload.size(); at += kChecksumBlock, ++i) {
      uint32_t crc = LoadLe<uint32_t>(AsBytes(item).data() + *stored.block_table_offset + 4 * i);
      match = match && crc == Crc32(0, AsBytes(payload).subspan(
                                           at, std::min(kChecksumBlock, payload.size() - at)));
    }
    if (match) ++good;
  }
  std::string error;
  std::string item = WriteItem(DType::kUInt8, Shape{16384}, Shape{1}, Ramp(16384), true, &error);
  StoredTensor stored;
  std::string read = ReadWhole(item, &stored, &error);
  bool none = error.empty() && !read.empty() && !stored.block_table_offset;
  std::string().swap(error);
  std::string().swap(item);
  std::string().swap(read);
  assert_int_equal(good, 3);
  assert_true(none);
}

void EveryDTypeRoundTripsOrIsRefused(void**) {
  int stored_count = 0;
  int refused = 0;
  int wrong = 0;
  for (int32_t i = 1; IsValidDType(i); ++i) {
    DType dtype = static_cast<DType>(i);
    std::string payload = Ramp(static_cast<size_t>(6 * DTypeSize(dtype)));
    std::string error;
    std::string item = WriteItem(dtype, Shape{2, 3}, Shape{3, 1}, payload, true, &error);
    if (item.empty()) {
      ++refused;
      continue;
    }
    StoredTensor stored;
    std::string read = ReadWhole(item, &stored, &error);
    if (error.empty() && read == payload && stored.dtype == dtype) {
      ++stored_count;
    } else {
      print_message("%s: %s\n", std::string(DTypeName(dtype)).c_str(), error.c_str());
      ++wrong;
    }
  }
  assert_int_equal(wrong, 0);
  assert_int_equal(stored_count, 27);
  assert_int_equal(refused, 5 + 14);  // quantized; int1..7 and uint1..7
}

void StridesAndScalarsAreKept(void**) {
  struct Case {
    Shape shape, strides;
  };
  const Case cases[] = {{{}, {}},
                        {{0}, {1}},
                        {{4, 0}, {1, 1}},
                        {{4, 3}, {1, 4}},
                        {{2, 3, 4}, {1, 8, 2}},
                        {{1, 5}, {77, 1}},
                        {{70000}, {1}},
                        {{2, 2, 2, 2, 2}, {16, 8, 4, 2, 1}}};
  int wrong = 0;
  for (const Case& c : cases) {
    int64_t count = *NumElements(c.shape);
    std::string payload = Ramp(static_cast<size_t>(count * 2));
    std::string error;
    std::string item = WriteItem(DType::kInt16, c.shape, c.strides, payload, true, &error);
    StoredTensor stored;
    std::string read = ReadWhole(item, &stored, &error);
    Result<Tensor> memory = Tensor::Borrow(DType::kInt16, c.shape, c.strides, payload.data());
    std::string expected(payload.size(), '\0');
    if (memory.ok()) {
      GatherElements(*memory, 0, count, reinterpret_cast<std::byte*>(expected.data()));
    }
    if (!error.empty() || read != expected || stored.strides != c.strides) ++wrong;
  }
  Code gap =
      TensorItemLayout::Create(DType::kInt16, Shape{2, 2}, Shape{4, 1}, true).status().code();
  Code repeat =
      TensorItemLayout::Create(DType::kInt16, Shape{2, 2}, Shape{0, 1}, true).status().code();
  Code huge =
      TensorItemLayout::Create(DType::kInt64, Shape{1ll << 60}, Shape{1}, true).status().code();
  assert_int_equal(wrong, 0);
  assert_int_equal(gap, Code::kInvalidArgument);
  assert_int_equal(repeat, Code::kInvalidArgument);
  assert_int_equal(huge, Code::kLimit);
}

void ViewsWithHolesAreStoredRowMajor(void**) {
  int16_t data[24] = {};
  auto strides = [&](Shape shape, Shape stride) {
    Result<Tensor> tensor = Tensor::Borrow(DType::kInt16, shape, stride, data);
    return StoredStrides(*tensor);
  };
  bool transposed = strides({4, 3}, {1, 4}) == Shape({1, 4});
  bool holes = strides({2, 2}, {4, 1}) == Shape({2, 1});
  bool expanded = strides({2, 2}, {0, 1}) == Shape({2, 1});
  bool odd_ones = strides({1, 3}, {9, 1}) == Shape({9, 1});
  assert_true(transposed);
  assert_true(holes);
  assert_true(expanded);
  assert_true(odd_ones);
}

void ABoxIsCutOutOfAStridedPayload(void**) {
  // Column-major 4 x 3, the box [1:3, 1:3].
  StoredTensor stored;
  stored.dtype = DType::kInt32;
  stored.shape = {4, 3};
  stored.strides = {1, 4};
  stored.storage_offset = 2;
  int32_t payload[14];
  for (int32_t i = 0; i < 14; ++i) payload[i] = i;
  int32_t out[4] = {};
  Result<Tensor> box = Tensor::Borrow(DType::kInt32, Shape{2, 2}, {}, out);
  ExtractBox(stored, AsBytes(payload, sizeof payload), Shape{1, 1}, *box);
  const int32_t expected[4] = {7, 11, 8, 12};
  bool same = std::equal(out, out + 4, expected);
  box = Status(Code::kInternal, "done");
  Shape().swap(stored.shape);
  Shape().swap(stored.strides);
  assert_true(same);
}

void LazyConjugationAndNegationAreResolved(void**) {
  StoredTensor stored;
  stored.dtype = DType::kComplex64;
  stored.shape = {2};
  stored.strides = {1};
  const float payload[4] = {1, 2, -3, 4};
  float out[4];
  Result<Tensor> tensor = Tensor::Borrow(DType::kComplex64, Shape{2}, {}, out);
  float results[3][4];
  for (int i = 0; i < 3; ++i) {
    stored.conj = i != 1;
    stored.neg = i != 0;
    ExtractBox(stored, AsBytes(payload, sizeof payload), Shape{0}, *tensor);
    std::copy(out, out + 4, results[i]);
  }
  const float expected[3][4] = {{1, -2, -3, -4}, {-1, -2, 3, -4}, {-1, 2, 3, 4}};
  bool same = std::equal(&results[0][0], &results[0][0] + 12, &expected[0][0]);
  tensor = Status(Code::kInternal, "done");
  Shape().swap(stored.shape);
  Shape().swap(stored.strides);
  assert_true(same);
}

// ---- forms that torch can write, from pickles made here ----

using Emit = std::function<void(pickle::Writer*)>;

void Storage(pickle::Writer* w, std::string_view module, std::string_view name,
             std::string_view key, int64_t count) {
  w->Mark();
  w->String("storage");
  w->Global(module, name);
  w->String(key);
  w->String("cuda:0");
  w->Int(count);
  w->TupleFromMark();
  w->PersistentId();
}

void Ints(pickle::Writer* w, Dims values) {
  w->Mark();
  for (int64_t value : values) w->Int(value);
  w->TupleFromMark();
}

void OrderedDict(pickle::Writer* w) {
  w->Global("collections", "OrderedDict");
  w->EmptyTuple();
  w->Reduce();
}

void TensorV2(pickle::Writer* w, std::string_view key, int64_t count, int64_t offset, Dims shape,
              Dims strides) {
  w->Global("torch._utils", "_rebuild_tensor_v2");
  w->Mark();
  Storage(w, "torch", "FloatStorage", key, count);
  w->Int(offset);
  Ints(w, shape);
  Ints(w, strides);
  w->Bool(false);
  OrderedDict(w);
  w->TupleFromMark();
  w->Reduce();
}

std::string Item(const Emit& emit, std::string_view payload, std::string_view byte_order = "little",
                 int protocol = 2) {
  std::string pickle;
  pickle::Writer writer(protocol, &pickle);
  emit(&writer);
  writer.Stop();
  std::string out;
  zip::LayoutWriter zip("some-prefix/");
  records::Append("data.pkl", pickle, &zip, &out);
  records::Append("byteorder", byte_order, &zip, &out);
  records::Append("data/0", payload, &zip, &out);
  records::AppendTail(0, 0, &zip, &out);
  return out;
}

struct Parsed {
  Code code = Code::kOk;
  TensorForm form = TensorForm::kDense;
  std::string description;
  DType dtype = DType::kFloat32;
  Shape shape;
};

Parsed ParseForm(const std::string& item) {
  MemorySource source(AsBytes(item));
  Result<StoredTensor> stored = ParseTensorItem(source);
  if (!stored.ok()) return {stored.status().code(), {}, stored.status().message(), {}, {}};
  return {Code::kOk, stored->form, stored->description, stored->dtype, stored->shape};
}

void OtherFormsAreNamed(void**) {
  struct Case {
    const char* what;
    TensorForm form;
    const char* description;
    Emit emit;
  };
  const Case cases[] = {
      {"plain", TensorForm::kDense, "",
       [](pickle::Writer* w) {
         TensorV2(w, "0", 6, 1, Shape{2, 2}, Shape{2, 1});
       }},
      {"parameter", TensorForm::kDense, "",
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_parameter");
         w->Mark();
         TensorV2(w, "0", 6, 0, Shape{2, 2}, Shape{2, 1});
         w->Bool(true);
         OrderedDict(w);
         w->TupleFromMark();
         w->Reduce();
       }},
      {"attributes", TensorForm::kDense, "",
       [](pickle::Writer* w) {
         w->Global("torch._tensor", "_rebuild_from_type_v2");
         w->Mark();
         w->Global("torch._utils", "_rebuild_tensor");
         w->Global("torch", "Tensor");
         w->Mark();
         Storage(w, "torch", "FloatStorage", "0", 6);
         w->Int(0);
         Ints(w, Shape{2, 2});
         Ints(w, Shape{2, 1});
         w->TupleFromMark();
         w->EmptyDict();
         w->TupleFromMark();
         w->Reduce();
       }},
      {"subclass", TensorForm::kSubclass, "subclass my.module.Fancy",
       [](pickle::Writer* w) {
         w->Global("torch._tensor", "_rebuild_from_type_v2");
         w->Mark();
         w->Global("torch._utils", "_rebuild_tensor_v2");
         w->Global("my.module", "Fancy");
         w->EmptyTuple();
         w->EmptyDict();
         w->TupleFromMark();
         w->Reduce();
       }},
      {"wrapper", TensorForm::kSubclass, "subclass my.module.Wrapper",
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_wrapper_subclass");
         w->Mark();
         w->Global("my.module", "Wrapper");
         w->Global("torch", "float32");
         Ints(w, Shape{2, 2});
         w->TupleFromMark();
         w->Reduce();
       }},
      {"quantized", TensorForm::kQuantized, "quantized qint8 per_tensor_affine",
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_qtensor");
         w->Mark();
         Storage(w, "torch", "QInt8Storage", "0", 24);
         w->Int(0);
         Ints(w, Shape{2, 2});
         Ints(w, Shape{2, 1});
         w->Mark();
         w->Global("torch", "per_tensor_affine");
         w->Float(0.5);
         w->Int(0);
         w->TupleFromMark();
         w->TupleFromMark();
         w->Reduce();
       }},
      {"sparse", TensorForm::kSparse, "sparse_coo",
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_sparse_tensor");
         w->Mark();
         w->Global("torch.serialization", "_get_layout");
         w->String("torch.sparse_coo");
         w->Tuple1();
         w->Reduce();
         w->Mark();
         TensorV2(w, "0", 6, 0, Shape{1}, Shape{1});
         TensorV2(w, "0", 6, 0, Shape{1}, Shape{1});
         Ints(w, Shape{2, 2});
         w->Bool(true);
         w->TupleFromMark();
         w->TupleFromMark();
         w->Reduce();
       }},
      {"meta", TensorForm::kMeta, "meta",
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_meta_tensor_no_storage");
         w->Mark();
         w->Global("torch", "float32");
         Ints(w, Shape{2, 2});
         Ints(w, Shape{2, 1});
         w->Bool(false);
         w->TupleFromMark();
         w->Reduce();
       }},
      {"device", TensorForm::kOther,
       "tensor made by torch._utils._rebuild_device_tensor_from_numpy",
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_device_tensor_from_numpy");
         w->EmptyTuple();
         w->Reduce();
       }},
  };
  int wrong = 0;
  for (const Case& c : cases) {
    for (int protocol : {2, 4}) {
      Parsed parsed = ParseForm(Item(c.emit, std::string(24, 'x'), "little", protocol));
      bool has_shape = c.form == TensorForm::kOther || parsed.shape == Shape({2, 2}) ||
                       std::string_view(c.what) == "subclass";
      if (parsed.code != Code::kOk || parsed.form != c.form ||
          parsed.description != c.description || !has_shape) {
        print_message("%s: %s\n", c.what, parsed.description.c_str());
        ++wrong;
      }
    }
  }
  assert_int_equal(wrong, 0);
}

void LiesAreRefused(void**) {
  constexpr int64_t kHuge = INT64_MAX;
  struct Case {
    const char* what;
    Code code;
    Emit emit;
    const char* byte_order = "little";
  };
  auto tensor = [](std::string key, int64_t count, int64_t offset, Shape shape, Shape strides) {
    return [=](pickle::Writer* w) { TensorV2(w, key, count, offset, shape, strides); };
  };
  const Case cases[] = {
      {"storage shorter than announced", Code::kCorrupt, tensor("0", 7, 0, {2}, {1})},
      {"storage longer than announced", Code::kCorrupt, tensor("0", 5, 0, {2}, {1})},
      {"storage of 2^63", Code::kCorrupt, tensor("0", kHuge, 0, {2}, {1})},
      {"negative length", Code::kCorrupt, tensor("0", -1, 0, {0}, {1})},
      {"no such storage", Code::kCorrupt, tensor("1", 6, 0, {2}, {1})},
      {"storage with a path", Code::kCorrupt, tensor("../0", 6, 0, {2}, {1})},
      {"storage without a key", Code::kCorrupt, tensor("", 6, 0, {2}, {1})},
      {"view past the end", Code::kCorrupt, tensor("0", 6, 5, {2}, {1})},
      {"stride past the end", Code::kCorrupt, tensor("0", 6, 0, {2, 2}, {5, 1})},
      {"offset overflow", Code::kCorrupt, tensor("0", 6, kHuge, {2}, {1})},
      {"shape overflow", Code::kCorrupt, tensor("0", 6, 0, {kHuge, kHuge}, {1, 1})},
      {"stride overflow", Code::kCorrupt, tensor("0", 6, 0, {3, 3}, {kHuge, kHuge})},
      {"negative size", Code::kCorrupt, tensor("0", 6, 0, {-2}, {1})},
      {"negative stride", Code::kCorrupt, tensor("0", 6, 3, {2}, {-1})},
      {"negative offset", Code::kCorrupt, tensor("0", 6, -3, {2}, {1})},
      {"strides of another rank", Code::kCorrupt, tensor("0", 6, 0, {2}, {1, 1})},
      {"65 dimensions", Code::kUnsupported, tensor("0", 6, 0, Shape(65, 1), Shape(65, 1))},
      {"an integer", Code::kCorrupt, [](pickle::Writer* w) { w->Int(7); }},
      {"code", Code::kCorrupt,
       [](pickle::Writer* w) {
         w->Global("os", "system");
         w->String("true");
         w->Tuple1();
         w->Reduce();
       }},
      {"code behind attributes", Code::kCorrupt,
       [](pickle::Writer* w) {
         w->Global("torch._tensor", "_rebuild_from_type_v2");
         w->Mark();
         w->Global("os", "system");
         w->Global("torch", "Tensor");
         w->EmptyTuple();
         w->EmptyDict();
         w->TupleFromMark();
         w->Reduce();
       }},
      {"no arguments", Code::kCorrupt,
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_tensor_v2");
         w->EmptyTuple();
         w->Reduce();
       }},
      {"unknown storage class", Code::kUnsupported,
       [](pickle::Writer* w) {
         w->Global("torch._utils", "_rebuild_tensor");
         w->Mark();
         Storage(w, "torch", "FancyStorage", "0", 6);
         w->Int(0);
         Ints(w, Shape{2});
         Ints(w, Shape{1});
         w->TupleFromMark();
         w->Reduce();
       }},
      {"big-endian", Code::kUnsupported, tensor("0", 6, 0, {2}, {1}), "big"},
      {"odd byte order", Code::kCorrupt, tensor("0", 6, 0, {2}, {1}), "middle"},
  };
  int wrong = 0;
  for (const Case& c : cases) {
    Parsed parsed = ParseForm(Item(c.emit, std::string(24, 'x'), c.byte_order));
    if (parsed.code != c.code) {
      print_message("%s: %s\n", c.what, parsed.description.c_str());
      ++wrong;
    }
  }
  assert_int_equal(wrong, 0);
}

void OldTorchSaveIsNamed(void**) {
  std::string legacy = ReadFixture("golden/torch-2.13/w1/torch_save/ckpt/legacy.pt");
  Parsed parsed = ParseForm(legacy);
  bool named = parsed.description.find("before zips") != std::string::npos;
  std::string().swap(legacy);
  std::string().swap(parsed.description);
  assert_int_equal(parsed.code, Code::kUnsupported);
  assert_true(named);
}

void DeflatedPayloadsAreReadWhole(void**) {
  std::string bytes = ReadFixture("items/deflated_tensor.zip");
  StoredTensor stored;
  std::string error;
  std::string read = ReadWhole(bytes, &stored, &error);
  bool deflated = stored.deflated;
  float last = 0;
  if (read.size() == 4000) std::memcpy(&last, read.data() + 3996, 4);
  Shape().swap(stored.shape);
  Shape().swap(stored.strides);
  std::string().swap(bytes);
  std::string().swap(read);
  assert_true(error.empty());
  assert_true(deflated);
  assert_true(last == 999.0f);
}

void NoDamageCrashes(void**) {
  std::string item;
  for (const FixtureItem& fixture : FixtureItems()) {
    if (fixture.tensor && fixture.length < 1600) item = fixture.Bytes();
  }
  const size_t size = item.size();
  size_t truncated = 0;
  size_t data_changes_missed = 0;
  StoredTensor sound;
  std::string error;
  const std::string expected = ReadWhole(item, &sound, &error);
  const size_t begin = sound.data_offset;
  for (size_t length = 0; length < size; ++length) {
    error.clear();
    StoredTensor stored;
    ReadWhole(item.substr(0, length), &stored, &error);
    if (!error.empty()) ++truncated;
  }
  for (size_t i = 0; i < size; ++i) {
    for (int flip : {1, 0x40, 0xff}) {
      item[i] = static_cast<char>(item[i] ^ flip);
      error.clear();
      StoredTensor stored;
      ReadWhole(item, &stored, &error);
      if (i >= begin && i < begin + sound.data_size && error.empty()) ++data_changes_missed;
      item[i] = static_cast<char>(item[i] ^ flip);
    }
  }
  bool had_data = !expected.empty();
  Shape().swap(sound.shape);
  Shape().swap(sound.strides);
  std::string().swap(item);
  std::string().swap(error);
  assert_true(had_data);
  assert_int_equal(truncated, size);
  assert_int_equal(data_changes_missed, 0);
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::EveryStockTensorIsRead),
      cmocka_unit_test(dcp::ItemsAreStocksByteForByte),
      cmocka_unit_test(dcp::LargeItemsAreStocksByteForByte),
      cmocka_unit_test(dcp::BlockChecksumsCoverThePayload),
      cmocka_unit_test(dcp::EveryDTypeRoundTripsOrIsRefused),
      cmocka_unit_test(dcp::StridesAndScalarsAreKept),
      cmocka_unit_test(dcp::ViewsWithHolesAreStoredRowMajor),
      cmocka_unit_test(dcp::ABoxIsCutOutOfAStridedPayload),
      cmocka_unit_test(dcp::LazyConjugationAndNegationAreResolved),
      cmocka_unit_test(dcp::OtherFormsAreNamed),
      cmocka_unit_test(dcp::LiesAreRefused),
      cmocka_unit_test(dcp::OldTorchSaveIsNamed),
      cmocka_unit_test(dcp::DeflatedPayloadsAreReadWhole),
      cmocka_unit_test(dcp::NoDamageCrashes),
  };
  return cmocka_run_group_tests_name("tensorio/tensor_item", tests, nullptr, nullptr);
}
