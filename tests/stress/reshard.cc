// Random layouts saved by N ranks and loaded by M others, bit for bit.
//
//   stress_reshard <count> <seed>
//
// Tensors of 0 to 4 dimensions, cut into even, uneven, empty and replicated pieces, by grids and by
// meshes, or held whole; 1 to 16 ranks on either side. A layout that fails is printed with the seed
// that repeats it.
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <set>
#include <string>

#include "checkpoint/load.h"
#include "checkpoint/save.h"
#include "storage/open.h"
#include "support/sample_state.h"
#include "support/thread_group.h"

namespace dcp {
namespace {

using Random = std::mt19937_64;

int64_t Between(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

struct Piece {
  Shape offsets;
  Shape sizes;
};
// Which pieces each rank holds. Empty: each holds the whole, as a tensor and not as shards.
using Layout = std::vector<std::vector<Piece>>;

// The parts of [0, size) between `cuts` - 1 random places; empty ones are left out.
std::vector<std::pair<int64_t, int64_t>> Cut(Random& random, int64_t size, int64_t parts) {
  std::set<int64_t> places{0, size};
  for (int64_t i = 1; i < parts; ++i) places.insert(Between(random, 0, size));
  std::vector<std::pair<int64_t, int64_t>> pieces;
  for (auto at = places.begin(); std::next(at) != places.end(); ++at) {
    pieces.emplace_back(*at, *std::next(at) - *at);
  }
  if (pieces.empty()) pieces.emplace_back(0, 0);
  return pieces;
}

// As DTensor's Shard: of equal size but for the last, and then empty ones.
std::vector<std::pair<int64_t, int64_t>> Even(int64_t size, int64_t parts) {
  const int64_t step = (size + parts - 1) / parts;
  std::vector<std::pair<int64_t, int64_t>> pieces;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t begin = std::min(size, i * step);
    pieces.emplace_back(begin, std::min(size, (i + 1) * step) - begin);
  }
  return pieces;
}

void AddGrid(Random& random, const Shape& global, int64_t ranks, Layout* layout) {
  std::vector<Piece> cells(1);
  for (const int64_t size : global) {
    std::vector<Piece> finer;
    for (const auto& [begin, length] : Cut(random, size, Between(random, 1, 4))) {
      for (Piece cell : cells) {
        cell.offsets.push_back(begin);
        cell.sizes.push_back(length);
        finer.push_back(std::move(cell));
      }
    }
    cells = std::move(finer);
  }
  for (const Piece& cell : cells) {
    const int64_t holders = Between(random, 0, 4) == 0 ? 2 : 1;
    for (int64_t i = 0; i < holders; ++i) {
      (*layout)[static_cast<size_t>(Between(random, 0, ranks - 1))].push_back(cell);
    }
  }
  // A rank that got a cell twice holds it once.
  for (std::vector<Piece>& pieces : *layout) {
    std::set<std::vector<int64_t>> seen;
    std::erase_if(pieces, [&](const Piece& piece) {
      return !seen.emplace(piece.offsets.begin(), piece.offsets.end()).second;
    });
  }
}

// Ranks in rows and columns; one dimension is cut by rows, one by columns (or is held by all of
// them).
void AddMesh(Random& random, const Shape& global, int64_t ranks, Layout* layout) {
  int64_t rows = 1;
  for (int64_t i = 1; i <= ranks; ++i) {
    if (ranks % i == 0 && Between(random, 0, 1) == 0) rows = i;
  }
  const int64_t columns = ranks / rows;
  const auto ndim = static_cast<int64_t>(global.size());
  const int64_t by_row = Between(random, 0, ndim - 1);
  const int64_t by_column = Between(random, 0, ndim);  // ndim: replicated
  for (int64_t rank = 0; rank < ranks; ++rank) {
    Piece piece{Shape(global.size(), 0), global};
    const auto cut = [&](int64_t dim, int64_t part, int64_t parts) {
      if (dim >= ndim) return;
      const auto d = static_cast<size_t>(dim);
      const auto [begin, length] = Even(piece.sizes[d], parts)[static_cast<size_t>(part)];
      piece.offsets[d] += begin;
      piece.sizes[d] = length;
    };
    cut(by_row, rank / columns, rows);
    if (by_column != by_row) cut(by_column, rank % columns, columns);
    (*layout)[static_cast<size_t>(rank)].push_back(piece);
  }
}

Layout RandomLayout(Random& random, const Shape& global, int64_t ranks) {
  Layout layout(static_cast<size_t>(ranks));
  const int64_t kind = global.empty() ? 0 : Between(random, 0, 7);
  if (kind == 0) return Layout();
  if (kind <= 3) {
    AddGrid(random, global, ranks, &layout);
  } else if (kind <= 6) {
    AddMesh(random, global, ranks, &layout);
  } else {
    layout[static_cast<size_t>(Between(random, 0, ranks - 1))].push_back(
        {Shape(global.size(), 0), global});
  }
  return layout;
}

struct Case {
  DType dtype;
  Tensor whole;
  Layout from;
  Layout to;
};

Tensor Fresh(const Case& c, const Piece& piece, bool filled) {
  Tensor tensor = *Tensor::Allocate(c.dtype, piece.sizes);
  std::memset(tensor.data, 0x5a, static_cast<size_t>(tensor.num_bytes()));
  if (filled) CopyElements(c.whole.Slice(piece.offsets, piece.sizes), tensor);
  return tensor;
}

Piece WholeOf(const Case& c) { return {Shape(c.whole.shape.size(), 0), c.whole.shape}; }

ValuePtr ValueOf(const Case& c, const Layout& layout, size_t rank, bool filled) {
  if (layout.empty()) return Value::Of(Fresh(c, WholeOf(c), filled));
  ShardedTensor sharded;
  sharded.dtype = c.dtype;
  sharded.global_shape = c.whole.shape;
  for (const Piece& piece : layout[rank]) {
    sharded.shards.push_back({piece.offsets, Fresh(c, piece, filled)});
  }
  return Value::Of(std::move(sharded));
}

ValuePtr StateOf(const std::vector<Case>& cases, bool from, size_t rank) {
  std::vector<std::pair<std::string, ValuePtr>> entries;
  for (size_t i = 0; i < cases.size(); ++i) {
    entries.emplace_back(fmt::format("t{}", i),
                         ValueOf(cases[i], from ? cases[i].from : cases[i].to, rank, from));
  }
  return DictOf(std::move(entries));
}

// Empty when what a rank has loaded is right.
std::string Check(const std::vector<Case>& cases, const Value& state, size_t rank) {
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    const Value& value = *state.entries[i].second;
    std::vector<std::pair<Piece, const Tensor*>> got;
    if (c.to.empty()) {
      got.emplace_back(WholeOf(c), &value.tensor);
    } else {
      for (size_t s = 0; s < c.to[rank].size(); ++s) {
        got.emplace_back(c.to[rank][s], &value.sharded->shards[s].tensor);
      }
    }
    for (const auto& [piece, tensor] : got) {
      if (EqualElements(c.whole.Slice(piece.offsets, piece.sizes), *tensor)) continue;
      return fmt::format("rank {}: t{} of [{}] at [{}] +[{}] differs", rank, i,
                         fmt::join(c.whole.shape, ", "), fmt::join(piece.offsets, ", "),
                         fmt::join(piece.sizes, ", "));
    }
  }
  return {};
}

std::string Try(uint64_t seed) {
  Random random(seed);
  const int64_t savers = Between(random, 1, 16), loaders = Between(random, 1, 16);
  constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kInt64, DType::kUInt8,
                               DType::kComplex128};
  std::vector<Case> cases(static_cast<size_t>(Between(random, 1, 4)));
  for (Case& c : cases) {
    Shape global;
    for (int64_t d = Between(random, 0, 4); d > 0; --d) {
      global.push_back(Between(random, 0, 9) == 0 ? 0 : Between(random, 1, 12));
    }
    c.dtype = kDTypes[Between(random, 0, 4)];
    c.whole = PatternTensor(c.dtype, global, random());
    c.from = RandomLayout(random, global, savers);
    c.to = RandomLayout(random, global, loaders);
  }
  const std::unique_ptr<Store> store = NewMemoryStore();
  SaveOptions save_options;
  save_options.coordinator = static_cast<int32_t>(Between(random, 0, savers - 1));
  save_options.files = static_cast<int32_t>(Between(random, 1, 3));
  save_options.dedup_to_lowest_rank = Between(random, 0, 1) == 0;
  LoadOptions load_options;
  load_options.coordinator = static_cast<int32_t>(Between(random, 0, loaders - 1));

  std::mutex mutex;
  std::string wrong;
  const auto tell = [&](std::string text) {
    const std::lock_guard lock(mutex);
    if (wrong.empty()) wrong = std::move(text);
  };
  ThreadGroup(static_cast<int32_t>(savers)).Run([&](Communicator& comm) {
    const ValuePtr state = StateOf(cases, true, static_cast<size_t>(comm.rank()));
    const auto saved = Save(*store, comm, *state, save_options, Engine());
    if (!saved.ok()) tell(fmt::format("save: {}", saved.status().ToString()));
  });
  if (!wrong.empty()) return wrong;
  ThreadGroup(static_cast<int32_t>(loaders)).Run([&](Communicator& comm) {
    const auto rank = static_cast<size_t>(comm.rank());
    const ValuePtr state = StateOf(cases, false, rank);
    const auto loaded = Load(*store, comm, *state, load_options, Engine());
    if (!loaded.ok()) return tell(fmt::format("load: {}", loaded.status().ToString()));
    if (!loaded->report.uncovered.empty()) return tell("uncovered: " + loaded->report.uncovered[0]);
    std::string different = Check(cases, *state, rank);
    if (!different.empty()) tell(std::move(different));
  });
  return wrong;
}

}  // namespace
}  // namespace dcp

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: stress_reshard <count> <seed>\n");
    return 2;
  }
  const uint64_t count = std::strtoull(argv[1], nullptr, 10);
  const uint64_t seed = std::strtoull(argv[2], nullptr, 10);
  for (uint64_t i = 0; i < count; ++i) {
    const std::string wrong = dcp::Try(seed + i);
    if (wrong.empty()) continue;
    std::fprintf(stderr, "layout of seed %llu: %s\n", static_cast<unsigned long long>(seed + i),
                 wrong.c_str());
    return 1;
  }
  std::printf("%llu random layouts saved and loaded by other ranks, all equal\n",
              static_cast<unsigned long long>(count));
  return 0;
}
