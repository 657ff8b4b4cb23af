// The ranks of a ProcessGroupGloo save a tensor by rows and a number that all have, and load the
// tensor back by columns: group_save and what ranks.py adds.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "job.h"

namespace {

constexpr int64_t kRows = 64;
constexpr int64_t kColumns = 48;

void Check(dcp_status status, dcp_error* error, const char* what) {
  if (status == DCP_OK) return;
  std::fprintf(stderr, "%s: %s\n", what, dcp_error_message(error));
  std::exit(1);
}

int64_t Element(int64_t row, int64_t column) { return row * 1000 + column; }

void SetShard(dcp_state_dict* state, std::vector<int64_t>* data, int64_t rows, int64_t columns,
              int64_t first_row, int64_t first_column) {
  const int64_t global[2] = {kRows, kColumns};
  const int64_t shape[2] = {rows, columns};
  const int64_t offsets[2] = {first_row, first_column};
  dcp_tensor_view view = {};
  view.struct_size = sizeof view;
  view.dtype = DCP_INT64;
  view.ndim = 2;
  view.shape = shape;
  view.data = data->data();
  dcp_error* error = nullptr;
  dcp_tensor* tensor = nullptr;
  dcp_value* value = nullptr;
  Check(dcp_tensor_new(&view, nullptr, nullptr, &tensor, &error), error, "tensor");
  const dcp_tensor* shards[1] = {tensor};
  Check(dcp_value_sharded_tensor(DCP_INT64, 2, global, shards, offsets, 1, &value, &error), error,
        "sharded tensor");
  Check(dcp_state_dict_set(state, "weight", 6, value, &error), error, "weight");
  dcp_value_free(value);
  dcp_tensor_free(tensor);
}

void SetStep(dcp_state_dict* state, int64_t step) {
  dcp_error* error = nullptr;
  dcp_value* value = nullptr;
  Check(dcp_value_int(step, &value, &error), error, "int");
  Check(dcp_state_dict_set(state, "step", 4, value, &error), error, "step");
  dcp_value_free(value);
}

int64_t StepIn(const dcp_load_report* report) {
  if (dcp_load_report_object_count(report) != 1) return -1;
  dcp_error* error = nullptr;
  dcp_value* value = nullptr;
  int64_t step = -1;
  Check(dcp_load_report_object(report, 0, nullptr, nullptr, nullptr, &value, &error), error,
        "step");
  Check(dcp_value_get_int(value, &step, &error), error, "step");
  dcp_value_free(value);
  return step;
}

void Save(const Job& job, dcp_communicator* comm, dcp_storage* storage) {
  const int64_t begin = kRows * job.rank / job.size;
  const int64_t end = kRows * (job.rank + 1) / job.size;
  std::vector<int64_t> rows;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t column = 0; column < kColumns; ++column) rows.push_back(Element(row, column));
  }
  dcp_error* error = nullptr;
  dcp_state_dict* state = nullptr;
  Check(dcp_state_dict_new(&state, &error), error, "state dict");
  SetShard(state, &rows, end - begin, kColumns, begin, 0);
  SetStep(state, 17);
  dcp_save_options options;
  dcp_save_options_init(&options, sizeof options);
  options.communicator = comm;
  Check(dcp_save(nullptr, storage, state, &options, nullptr, &error), error, "save");
  dcp_state_dict_free(state);
}

bool Load(const Job& job, dcp_communicator* comm, dcp_storage* storage) {
  const int64_t begin = kColumns * job.rank / job.size;
  const int64_t end = kColumns * (job.rank + 1) / job.size;
  std::vector<int64_t> columns(static_cast<size_t>((end - begin) * kRows), -1);
  dcp_error* error = nullptr;
  dcp_state_dict* state = nullptr;
  Check(dcp_state_dict_new(&state, &error), error, "state dict");
  SetShard(state, &columns, kRows, end - begin, 0, begin);
  SetStep(state, -1);
  dcp_load_options options;
  dcp_load_options_init(&options, sizeof options);
  options.communicator = comm;
  dcp_load_report* report = nullptr;
  Check(dcp_load(nullptr, storage, state, &options, &report, &error), error, "load");
  bool equal = StepIn(report) == 17;
  dcp_load_report_free(report);
  size_t at = 0;
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t column = begin; column < end; ++column) {
      equal = equal && columns[at++] == Element(row, column);
    }
  }
  dcp_state_dict_free(state);
  return equal;
}

}  // namespace

int main(int argc, char** argv) {
  Job job("tcp", argc, argv);
  RegisterGlooGroup(&job, "trainer");
  dcp_communicator* comm = nullptr;
  dcp_storage* storage = nullptr;
  dcp_error* error = nullptr;
  Check(dcp_torch_communicator_from_group_name("trainer", "libdcp/1", 0, 60000, &comm, &error),
        error, "communicator");
  Check(dcp_storage_open((job.folder + "/checkpoint").c_str(), nullptr, &storage, &error), error,
        "storage");
  Save(job, comm, storage);
  const bool equal = Load(job, comm, storage);
  if (!equal) std::fprintf(stderr, "rank %d loaded other values\n", job.rank);
  dcp_storage_free(storage);
  dcp_communicator_free(comm);
  job.End();
  return equal ? 0 : 1;
}
