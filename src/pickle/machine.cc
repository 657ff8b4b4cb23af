#include "pickle/machine.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "pickle/builder.h"
#include "pickle/folds.h"
#include "pickle/memo.h"
#include "pickle/opcode.h"
#include "pickle/plain_state.h"
#include "pickle/text.h"

namespace dcp::pickle {
namespace {

constexpr int kHighestProtocol = 5;
// Nodes and links that any input may use, beyond four for each of its bytes.
constexpr uint64_t kFreeNodes = 4096;
constexpr uint64_t kMostNodes = kImmediate - 1;

// The pickle machine of Python's documentation, with nodes in place of objects. Handlers return
// false after Fail().
class Machine {
 public:
  Machine(Input& input, const Limits& limits, Folder* folder, const Graph& graph, Arena* arena)
      : input_(input),
        limits_(limits),
        arena_(*arena),
        build_(arena),
        folds_(folder, graph, &build_),
        memo_(input, /*alike=*/folder != nullptr),
        plain_(memo_, limits.max_bytes),
        begin_(arena->input.data()),
        at_(begin_),
        end_(begin_ + arena->input.size()),
        ready_(begin_),
        op_at_(begin_) {
    const uint64_t justified = 4 * static_cast<uint64_t>(arena->input.size()) + kFreeNodes;
    max_used_ = std::min({limits.max_nodes, justified, kMostNodes});
  }

  Status Run() {
    DCP_RETURN_IF_ERROR(input_.Restart());
    if (!Advance()) return error_;
    while (at_ != end_) {
      op_at_ = at_;
      const auto opcode = static_cast<Opcode>(*at_++);
      if (opcode == Opcode::kStop) return Stop();
      if (!Step(opcode)) return error_;
      if (due() && !Advance()) return error_;
      if (build_.used() > max_used_) {
        Fail(Code::kLimit, "more than {} nodes and links", max_used_);
        return error_;
      }
    }
    return Error(Code::kCorrupt, "pickle: the input ends at byte {} without STOP", at_ - begin_)
        .WithDetail("offset", fmt::format("{}", at_ - begin_));
  }

 private:
  // Errors.

  [[gnu::noinline, gnu::cold]] void SetError(Code code, const std::string& what) {
    const auto opcode = static_cast<Opcode>(*op_at_);
    const std::string_view name = OpcodeName(opcode);
    const auto offset = op_at_ - begin_;
    error_ = Error(code, "pickle: {} at byte {}: {}",
                   name.empty() ? fmt::format("opcode 0x{:02x}", static_cast<uint8_t>(opcode))
                                : std::string(name),
                   offset, what)
                 .WithDetail("offset", fmt::format("{}", offset));
  }
  template <typename... Args>
  bool Fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
    SetError(code, fmt::format(format, std::forward<Args>(args)...));
    return false;
  }
  bool Corrupt(const char* what) {
    SetError(Code::kCorrupt, what);
    return false;
  }
  bool Full() { return Fail(Code::kLimit, "more links than a graph can hold"); }

  // The input.

  size_t left() const { return static_cast<size_t>(end_ - at_); }
  size_t passed() const { return static_cast<size_t>(at_ - begin_); }

  // Whether the input is to be told how far the machine has come.
  bool due() const { return passed() >= due_; }
  bool Advance() {
    const size_t step = input_.step();
    if (passed() > 0) build_.KeepTexts();
    input_.Pass(passed());
    due_ = step > SIZE_MAX - passed() ? SIZE_MAX : passed() + step;
    return Load(std::min(left(), step) + Input::kLookAhead);
  }
  // Makes the next `size` bytes ready.
  bool Load(size_t size) {
    const Status loaded = input_.Load(passed() + std::min(size, left()));
    if (!loaded.ok()) {
      error_ = loaded;
      return false;
    }
    ready_ = begin_ + input_.ready();
    return true;
  }

  // Arguments in the byte stream.

  template <typename T>
  bool Read(T* out) {
    if (left() < sizeof(T)) return Corrupt("the input ends inside its argument");
    *out = LoadLe<T>(at_);
    at_ += sizeof(T);
    return true;
  }

  // `length` bytes from the stream.
  bool Take(uint64_t length, std::string_view* out) {
    if (length > left()) {
      return Fail(Code::kCorrupt, "its length is {}, but {} bytes are left", length, left());
    }
    if (length > limits_.max_bytes) {
      return Fail(Code::kLimit, "its length is {}, more than {}", length, limits_.max_bytes);
    }
    if (length > static_cast<uint64_t>(ready_ - at_) && !Load(static_cast<size_t>(length))) {
      return false;
    }
    *out = {reinterpret_cast<const char*>(at_), static_cast<size_t>(length)};
    at_ += length;
    return true;
  }

  template <typename Length>
  bool TakeCounted(std::string_view* out) {
    Length length{};
    if (!Read(&length)) return false;
    if constexpr (std::is_signed_v<Length>) {
      if (length < 0) return Fail(Code::kCorrupt, "negative length {}", length);
    }
    return Take(static_cast<uint64_t>(length), out);
  }

  // Up to a line feed, which is consumed and left out.
  bool Line(std::string_view* out) {
    const void* found = nullptr;
    for (const std::byte* from = at_; found == nullptr && from != end_;) {
      if (from == ready_ && !Load(static_cast<size_t>(from - at_) + Input::kLookAhead))
        return false;
      found = std::memchr(from, '\n', static_cast<size_t>(ready_ - from));
      from = ready_;
    }
    if (found == nullptr) return Corrupt("the input ends inside its line");
    if (!Take(static_cast<uint64_t>(static_cast<const std::byte*>(found) - at_), out)) return false;
    ++at_;
    return true;
  }

  // The stack.

  bool Push(NodeId node) {
    stack_.push_back(node);
    return true;
  }
  size_t above_mark() const { return stack_.size() - fence_; }
  bool Need(size_t count) {
    if (above_mark() >= count) return true;
    return Fail(Code::kCorrupt, "takes {} from a stack that holds {}{}", count, above_mark(),
                marks_.empty() ? "" : " above the last MARK");
  }
  NodeId Pop() {
    const NodeId node = stack_.back();
    stack_.pop_back();
    return node;
  }
  // Where the values above the last mark begin; the mark is gone.
  bool PopMark(size_t* from) {
    if (marks_.empty()) return Corrupt("no MARK on the stack");
    *from = marks_.back();
    marks_.pop_back();
    fence_ = marks_.empty() ? 0 : marks_.back();
    return true;
  }

  // The memo.

  bool Remember(uint64_t index) {
    if (!Need(1)) return false;
    const NodeId node = stack_.back();
    if (memo_.Put(index, node)) folds_.Share(node);
    if (memo_.count() > limits_.max_memo) {
      return Fail(Code::kLimit, "more than {} memo entries", limits_.max_memo);
    }
    return true;
  }

  bool Recall(uint64_t index) {
    const NodeId node = memo_.Get(index);
    if (node == kNoNode) return Fail(Code::kCorrupt, "nothing was put at memo index {}", index);
    return Push(node);
  }

  bool MemoLine(uint64_t* index) {
    std::string_view line;
    if (!Line(&line)) return false;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), *index);
    if (error != std::errc() || end != line.data() + line.size()) {
      return Corrupt("its argument is no memo index");
    }
    return true;
  }

  template <typename Index>
  bool Put() {
    Index index{};
    return Read(&index) && Remember(index);
  }
  template <typename Index>
  bool Get() {
    Index index{};
    return Read(&index) && Recall(index);
  }

  // Leaves.

  NodeId TextNode(NodeKind kind, std::string_view text) {
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    return build_.Text(kind, static_cast<uint64_t>(bytes - begin_), text.size());
  }

  template <typename Length>
  bool Unicode() {
    std::string_view text;
    if (!TakeCounted<Length>(&text)) return false;
    if (!IsUtf8(text)) return Corrupt("its text is not UTF-8");
    return Push(TextNode(NodeKind::kString, text));
  }

  template <typename Length>
  bool BytesOf(NodeKind kind) {
    std::string_view bytes;
    return TakeCounted<Length>(&bytes) && Push(TextNode(kind, bytes));
  }

  // Python 2's str: text where it is UTF-8, else bytes.
  template <typename Length>
  bool OldString() {
    std::string_view text;
    if (!TakeCounted<Length>(&text)) return false;
    return Push(TextNode(IsUtf8(text) ? NodeKind::kString : NodeKind::kBytes, text));
  }

  bool QuotedString() {
    std::string_view line;
    if (!Line(&line)) return false;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) {
      line.remove_suffix(1);
    }
    if (line.size() < 2 || line.front() != line.back() ||
        (line.front() != '\'' && line.front() != '"')) {
      return Corrupt("its argument is not quoted");
    }
    line = line.substr(1, line.size() - 2);
    if (line.find('\\') == std::string_view::npos) {
      return Push(TextNode(IsUtf8(line) ? NodeKind::kString : NodeKind::kBytes, line));
    }
    std::optional<std::string> text = DecodeEscapes(line);
    if (!text) return Corrupt("an escape in its argument is malformed");
    const NodeKind kind = IsUtf8(*text) ? NodeKind::kString : NodeKind::kBytes;
    return Push(build_.OwnedText(kind, *std::move(text)));
  }

  bool RawUnicode() {
    std::string_view line;
    if (!Line(&line)) return false;
    const bool ascii = std::all_of(line.begin(), line.end(),
                                   [](char c) { return static_cast<uint8_t>(c) < 0x80; });
    if (ascii && line.find('\\') == std::string_view::npos) {
      return Push(TextNode(NodeKind::kString, line));
    }
    std::optional<std::string> text = DecodeRawUnicode(line);
    if (!text) return Corrupt("an escape in its argument is malformed");
    return Push(build_.OwnedText(NodeKind::kString, *std::move(text)));
  }

  // Two's complement of any length.
  bool Integer(std::string_view bytes, bool borrowed) {
    bytes = ShortestInteger(bytes);
    if (bytes.size() <= sizeof(int64_t)) {
      int64_t value = !bytes.empty() && static_cast<uint8_t>(bytes.back()) >= 0x80 ? -1 : 0;
      if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
      return Push(build_.Int(value));
    }
    return Push(borrowed ? TextNode(NodeKind::kBigInt, bytes)
                         : build_.OwnedText(NodeKind::kBigInt, std::string(bytes)));
  }

  template <typename Length>
  bool BinaryInteger() {
    std::string_view bytes;
    return TakeCounted<Length>(&bytes) && Integer(bytes, /*borrowed=*/true);
  }

  template <typename T>
  bool SmallInteger() {
    T value{};
    return Read(&value) && Push(build_.Int(value));
  }

  bool Decimal(bool is_long) {
    std::string_view line;
    if (!Line(&line)) return false;
    if (!is_long && line == "01") return Push(kTrueNode);
    if (!is_long && line == "00") return Push(kFalseNode);
    if (is_long && line.ends_with('L')) line.remove_suffix(1);
    if (line.size() > kMaxDigits) {
      return Fail(Code::kLimit, "an integer of {} characters; at most {} are read", line.size(),
                  kMaxDigits);
    }
    const std::optional<std::string> bytes = DecodeDecimal(line);
    if (!bytes) return Corrupt("its argument is no decimal integer");
    return Integer(*bytes, /*borrowed=*/false);
  }

  bool DecimalFloat() {
    std::string_view line;
    if (!Line(&line)) return false;
    const std::optional<double> value = DecodeFloat(line);
    if (!value) return Corrupt("its argument is no float");
    return Push(build_.Float(*value));
  }

  bool BinaryFloat() {
    uint64_t bits = 0;
    if (!Read(&bits)) return false;
    return Push(build_.Float(std::bit_cast<double>(__builtin_bswap64(bits))));
  }

  // Containers.

  bool Mark() {
    if (marks_.size() >= limits_.max_depth) {
      return Fail(Code::kLimit, "more than {} MARKs on the stack", limits_.max_depth);
    }
    fence_ = stack_.size();
    marks_.push_back(fence_);
    return true;
  }

  bool New(NodeKind kind, size_t from) {
    NodeId made;
    if (!build_.Container(kind, stack_.data() + from, stack_.size() - from, &made)) return Full();
    stack_.Truncate(from);
    return Push(made);
  }
  bool NewFromMark(NodeKind kind) {
    size_t from = 0;
    if (!PopMark(&from)) return false;
    if (kind == NodeKind::kDict && (stack_.size() - from) % 2 != 0) {
      return Corrupt("a key without a value");
    }
    return New(kind, from);
  }
  bool NewFromTop(size_t count) {
    if (!Need(count)) return false;
    const size_t from = stack_.size() - count;
    const NodeId made = build_.SmallTuple(stack_.data() + from, count);
    stack_.Truncate(from);
    return Push(made);
  }

  // Adds the values from `from` on to the one below them.
  bool AddItems(size_t from, NodeKind container) {
    if (from <= fence_) return Corrupt("nothing on the stack to add to");
    const NodeId target = stack_[from - 1];
    const NodeKind kind = build_.kind(target);
    if (kind != container && kind != NodeKind::kReduce && kind != NodeKind::kNewObject) {
      return Corrupt("the value to add to is of another type");
    }
    const NodeId* items = stack_.data() + from;
    const size_t count = stack_.size() - from;
    bool fits;
    if (container == NodeKind::kDict) {
      if (count % 2 != 0) return Corrupt("a key without a value");
      fits = build_.AddPairs(target, items, count);
    } else {
      fits = build_.AddItems(target, items, count);
    }
    stack_.Truncate(from);
    folds_.Change(target);
    return fits || Full();
  }
  bool AddFromMark(NodeKind container) {
    size_t from = 0;
    return PopMark(&from) && AddItems(from, container);
  }
  bool AddFromTop(size_t count, NodeKind container) {
    return Need(count + 1) && AddItems(stack_.size() - count, container);
  }

  // Globals and what is called.

  bool GlobalLines(NodeId* out) {
    std::string_view module;
    std::string_view name;
    if (!Line(&module) || !Line(&name)) return false;
    if (!IsUtf8(module) || !IsUtf8(name)) return Corrupt("its name is not UTF-8");
    const NodeId module_node = TextNode(NodeKind::kString, module);
    *out = build_.Global(module_node, TextNode(NodeKind::kString, name));
    return true;
  }
  bool Global() {
    NodeId global;
    return GlobalLines(&global) && Push(global);
  }
  bool StackGlobal() {
    if (!Need(2)) return false;
    const NodeId name = Pop();
    const NodeId module = Pop();
    if (build_.kind(name) != NodeKind::kString || build_.kind(module) != NodeKind::kString) {
      return Corrupt("module and name must be strings");
    }
    return Push(build_.Global(module, name));
  }

  bool Call(NodeId callee, size_t from) {
    if (!New(NodeKind::kTuple, from)) return false;
    const NodeId arguments = Pop();
    return Push(build_.Reduce(callee, arguments));
  }
  bool Inst() {
    NodeId callee;
    size_t from = 0;
    return GlobalLines(&callee) && PopMark(&from) && Call(callee, from);
  }
  bool Obj() {
    size_t from = 0;
    if (!PopMark(&from)) return false;
    if (stack_.size() == from) return Corrupt("no class above the MARK");
    const NodeId callee = stack_[from];
    if (!Call(callee, from + 1)) return false;
    stack_[from] = Pop();
    return true;
  }
  bool Reduce() {
    if (!Need(2)) return false;
    const NodeId arguments = Pop();
    const NodeId callee = Pop();
    if (build_.kind(arguments) != NodeKind::kTuple) return Corrupt("arguments must be a tuple");
    return Push(build_.Reduce(callee, arguments));
  }
  bool NewObject(bool with_keywords) {
    if (!Need(with_keywords ? 3 : 2)) return false;
    const NodeId keywords = with_keywords ? Pop() : kNoNode;
    const NodeId arguments = Pop();
    const NodeId callee = Pop();
    if (build_.kind(arguments) != NodeKind::kTuple) return Corrupt("arguments must be a tuple");
    if (with_keywords && build_.kind(keywords) != NodeKind::kDict) {
      return Corrupt("keyword arguments must be a dict");
    }
    const NodeId made = build_.NewObject(callee, arguments, keywords);
    if (arguments == kEmptyTupleNode) folds_.Open(made, callee, stack_.size());
    Push(made);
    return !folds_.IsOpen(made) || (FoldPlainState(made) && FoldFollowers());
  }
  // Objects that follow each other need not come by way of Step, as long as all is ordinary.
  bool FoldFollowers() {
    NodeId callee;
    while (!folds_.IsOpen(stack_.back()) && HasRoom() && NextInstance(&callee)) {
      const NodeId made = build_.NewObject(callee, kEmptyTupleNode, kNoNode);
      folds_.Open(made, callee, stack_.size());
      Push(made);
      if (!folds_.IsOpen(made)) return true;
      if (!FoldPlainState(made)) return false;
    }
    return true;
  }
  bool HasRoom() const { return build_.used() <= max_used_ && !due(); }
  // Passes a recalled class and its NEWOBJ without arguments.
  bool NextInstance(NodeId* callee) {
    uint64_t index;
    size_t size;
    if (left() < 7) return false;
    if (static_cast<Opcode>(*at_) == Opcode::kBinGet) {
      index = static_cast<uint8_t>(at_[1]);
      size = 2;
    } else if (static_cast<Opcode>(*at_) == Opcode::kLongBinGet) {
      index = LoadLe<uint32_t>(at_ + 1);
      size = 5;
    } else {
      return false;
    }
    if (static_cast<Opcode>(at_[size]) != Opcode::kEmptyTuple ||
        static_cast<Opcode>(at_[size + 1]) != Opcode::kNewObj) {
      return false;
    }
    *callee = memo_.Get(index);
    if (*callee == kNoNode) return false;
    op_at_ = at_ + size + 1;
    at_ += size + 2;
    return true;
  }
  // Goes past the state of `object`, when it is plain and the folder takes it.
  bool FoldPlainState(NodeId object) {
    if (!plain_.Read(at_, end_)) return true;
    if (marks_.size() + plain_.depth() >= limits_.max_depth) return true;
    if (memo_.count() + plain_.memoised() > limits_.max_memo) return true;
    if (!folds_.ClosePlain(object, plain_.state())) return true;
    at_ = plain_.end();
    const uint64_t base = memo_.count();
    memo_.Skip(plain_.memoised());
    for (uint64_t kept = plain_.kept(); kept != 0; kept &= kept - 1) {
      const auto i = static_cast<size_t>(std::countr_zero(kept));
      if (!Keep(base + i, plain_.shape(i))) return false;
    }
    return true;
  }
  // Makes nodes of a shape that the pickle asks for again.
  bool Keep(uint64_t memo_index, const PlainValue& shape) {
    const size_t from = stack_.size();
    for (const uint64_t number : shape.numbers) Push(build_.Int(static_cast<int64_t>(number)));
    const size_t count = shape.numbers.size();
    NodeId tuple = kNoNode;
    if (count > 0 && count <= 3) {
      tuple = build_.SmallTuple(stack_.data() + from, count);
    } else if (!build_.Container(NodeKind::kTuple, stack_.data() + from, count, &tuple)) {
      return Full();
    }
    stack_.Truncate(from);
    const NodeId made = build_.Reduce(shape.node, build_.SmallTuple(&tuple, 1));
    memo_.Fill(memo_index, made);
    folds_.Share(made);
    return true;
  }
  bool Build() {
    if (!Need(2)) return false;
    const NodeId state = Pop();
    const NodeId target = stack_.back();
    const NodeKind kind = build_.kind(target);
    if (kind != NodeKind::kReduce && kind != NodeKind::kNewObject) {
      return Corrupt("state for a value that is no object");
    }
    if (folds_.Close(target, state, stack_.size() - 1)) return true;
    if (!build_.SetState(target, state)) {
      return Fail(Code::kUnsupported, "a second state for one object");
    }
    folds_.Change(target);
    return true;
  }
  bool PersistentLine() {
    std::string_view line;
    if (!Line(&line)) return false;
    if (!IsUtf8(line)) return Corrupt("its name is not UTF-8");
    return Push(build_.PersistentId(TextNode(NodeKind::kString, line)));
  }
  bool PersistentTop() {
    if (!Need(1)) return false;
    const NodeId operand = Pop();
    return Push(build_.PersistentId(operand));
  }

  // The rest.

  bool Proto() {
    uint8_t protocol = 0;
    if (!Read(&protocol)) return false;
    if (protocol <= kHighestProtocol) return true;
    return Fail(Code::kUnsupported, "protocol {}; at most {} is known", protocol, kHighestProtocol);
  }
  bool Frame() {
    uint64_t length = 0;
    if (!Read(&length)) return false;
    if (length <= left()) return true;
    return Fail(Code::kCorrupt, "a frame of {} bytes, but {} are left", length, left());
  }
  bool PopOne() {
    if (above_mark() == 0 && !marks_.empty()) {
      size_t unused = 0;
      return PopMark(&unused);
    }
    if (!Need(1)) return false;
    stack_.pop_back();
    return true;
  }
  bool Duplicate() {
    if (!Need(1)) return false;
    const NodeId node = stack_.back();
    folds_.Share(node);
    return Push(node);
  }
  bool DropToMark() {
    size_t from = 0;
    if (!PopMark(&from)) return false;
    stack_.Truncate(from);
    return true;
  }
  Status Stop() {
    if (!Need(1)) return error_;
    arena_.root = Pop();
    arena_.consumed = static_cast<size_t>(at_ - begin_);
    return Status::Ok();
  }

  bool Step(Opcode opcode) {
    switch (opcode) {
      case Opcode::kNone:
        return Push(kNoneNode);
      case Opcode::kNewTrue:
        return Push(kTrueNode);
      case Opcode::kNewFalse:
        return Push(kFalseNode);
      case Opcode::kInt:
        return Decimal(/*is_long=*/false);
      case Opcode::kLong:
        return Decimal(/*is_long=*/true);
      case Opcode::kBinInt:
        return SmallInteger<int32_t>();
      case Opcode::kBinInt1:
        return SmallInteger<uint8_t>();
      case Opcode::kBinInt2:
        return SmallInteger<uint16_t>();
      case Opcode::kLong1:
        return BinaryInteger<uint8_t>();
      case Opcode::kLong4:
        return BinaryInteger<int32_t>();
      case Opcode::kFloat:
        return DecimalFloat();
      case Opcode::kBinFloat:
        return BinaryFloat();

      case Opcode::kString:
        return QuotedString();
      case Opcode::kBinString:
        return OldString<int32_t>();
      case Opcode::kShortBinString:
        return OldString<uint8_t>();
      case Opcode::kUnicode:
        return RawUnicode();
      case Opcode::kShortBinUnicode:
        return Unicode<uint8_t>();
      case Opcode::kBinUnicode:
        return Unicode<uint32_t>();
      case Opcode::kBinUnicode8:
        return Unicode<uint64_t>();
      case Opcode::kShortBinBytes:
        return BytesOf<uint8_t>(NodeKind::kBytes);
      case Opcode::kBinBytes:
        return BytesOf<uint32_t>(NodeKind::kBytes);
      case Opcode::kBinBytes8:
        return BytesOf<uint64_t>(NodeKind::kBytes);
      case Opcode::kByteArray8:
        return BytesOf<uint64_t>(NodeKind::kByteArray);

      case Opcode::kMark:
        return Mark();
      case Opcode::kEmptyTuple:
        return Push(kEmptyTupleNode);
      case Opcode::kEmptyList:
        return New(NodeKind::kList, stack_.size());
      case Opcode::kEmptyDict:
        return New(NodeKind::kDict, stack_.size());
      case Opcode::kEmptySet:
        return New(NodeKind::kSet, stack_.size());
      case Opcode::kTuple:
        return NewFromMark(NodeKind::kTuple);
      case Opcode::kTuple1:
        return NewFromTop(1);
      case Opcode::kTuple2:
        return NewFromTop(2);
      case Opcode::kTuple3:
        return NewFromTop(3);
      case Opcode::kList:
        return NewFromMark(NodeKind::kList);
      case Opcode::kDict:
        return NewFromMark(NodeKind::kDict);
      case Opcode::kFrozenSet:
        return NewFromMark(NodeKind::kFrozenSet);
      case Opcode::kAppend:
        return AddFromTop(1, NodeKind::kList);
      case Opcode::kAppends:
        return AddFromMark(NodeKind::kList);
      case Opcode::kSetItem:
        return AddFromTop(2, NodeKind::kDict);
      case Opcode::kSetItems:
        return AddFromMark(NodeKind::kDict);
      case Opcode::kAddItems:
        return AddFromMark(NodeKind::kSet);

      case Opcode::kGlobal:
        return Global();
      case Opcode::kStackGlobal:
        return StackGlobal();
      case Opcode::kInst:
        return Inst();
      case Opcode::kObj:
        return Obj();
      case Opcode::kReduce:
        return Reduce();
      case Opcode::kNewObj:
        return NewObject(/*with_keywords=*/false);
      case Opcode::kNewObjEx:
        return NewObject(/*with_keywords=*/true);
      case Opcode::kBuild:
        return Build();
      case Opcode::kPersId:
        return PersistentLine();
      case Opcode::kBinPersId:
        return PersistentTop();

      case Opcode::kMemoize:
        return Remember(memo_.count());
      case Opcode::kBinPut:
        return Put<uint8_t>();
      case Opcode::kLongBinPut:
        return Put<uint32_t>();
      case Opcode::kBinGet:
        return Get<uint8_t>();
      case Opcode::kLongBinGet:
        return Get<uint32_t>();
      case Opcode::kPut: {
        uint64_t index = 0;
        return MemoLine(&index) && Remember(index);
      }
      case Opcode::kGet: {
        uint64_t index = 0;
        return MemoLine(&index) && Recall(index);
      }

      case Opcode::kPop:
        return PopOne();
      case Opcode::kPopMark:
        return DropToMark();
      case Opcode::kDup:
        return Duplicate();
      case Opcode::kProto:
        return Proto();
      case Opcode::kFrame:
        return Frame();
      case Opcode::kStop:
        break;  // Run() ends there

      case Opcode::kExt1:
      case Opcode::kExt2:
      case Opcode::kExt4:
        return Fail(Code::kUnsupported, "the extension registry belongs to one Python process");
      case Opcode::kNextBuffer:
      case Opcode::kReadonlyBuffer:
        return Fail(Code::kUnsupported, "out-of-band buffers are not part of the file");
    }
    return Fail(Code::kUnsupported, "no such opcode in protocols 0 to {}", kHighestProtocol);
  }

  Input& input_;
  const Limits& limits_;
  Arena& arena_;
  Builder build_;
  Folds folds_;
  Memo memo_;
  PlainStateReader plain_;
  const std::byte* const begin_;
  const std::byte* at_;
  const std::byte* const end_;
  const std::byte* ready_;  // as far as the input is there
  size_t due_ = 0;
  const std::byte* op_at_;
  uint64_t max_used_;
  PodArray<NodeId> stack_;
  PodArray<size_t> marks_;
  size_t fence_ = 0;  // the stack's size at the last mark: nothing below may be taken
  Status error_;
};

}  // namespace

Status RunMachine(Input& input, const Limits& limits, Folder* folder, const Graph& graph,
                  Arena* arena) {
  return Machine(input, limits, folder, graph, arena).Run();
}

}  // namespace dcp::pickle
