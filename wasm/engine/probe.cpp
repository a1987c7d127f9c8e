// Keeps the recordings until they are taken.
#include "probe.h"

#include <vector>

#include "safetensors.h"

namespace ptts::probe {

bool on = false;

namespace {

struct Recording {
  std::string name;
  Shape shape;
  std::vector<float> values;
  bool time_first = false;  // [t][c], to be turned into [c][t]
};
std::vector<Recording> recordings;

void turn(Recording& r) {
  const size_t t = r.shape[0], c = r.shape[1];
  std::vector<float> turned(t * c);
  for (size_t i = 0; i < t; ++i) {
    for (size_t j = 0; j < c; ++j) turned[j * t + i] = r.values[i * c + j];
  }
  r.values = std::move(turned);
  r.shape = {c, t};
  r.time_first = false;
}

}  // namespace

void record(const char* name, const float* data, std::initializer_list<size_t> shape) {
  if (!on) return;
  Recording& r = recordings.emplace_back();
  r.name = name;
  r.shape = shape;
  r.values.assign(data, data + shape_count(r.shape));
}

void record_rows(const char* name, const float* data, size_t t, size_t c, bool append) {
  if (!on) return;
  if (append) {
    for (size_t i = recordings.size(); i-- > 0;) {
      Recording& r = recordings[i];
      if (r.name != name || !r.time_first) continue;
      r.values.insert(r.values.end(), data, data + t * c);
      r.shape[0] += t;
      return;
    }
  }
  record(name, data, {t, c});
  recordings.back().time_first = true;
}

}  // namespace ptts::probe

extern "C" ptts_status ptts_probe(uint32_t on) {
  ptts::probe::on = on != 0;
  if (on == 0) ptts::probe::recordings.clear();
  return PTTS_OK;
}

extern "C" ptts_status ptts_probe_take(void** data, size_t* length) {
  using namespace ptts;
  if (data == nullptr || length == nullptr)
    return fail(PTTS_ERROR_ARGUMENT, "ptts_probe_take: a null pointer");
  std::vector<probe::Recording> taken;
  taken.swap(probe::recordings);
  SafetensorsWriter writer;
  for (size_t i = 0; i < taken.size(); ++i) {
    if (taken[i].time_first) probe::turn(taken[i]);
    size_t earlier = 0, later = 0;
    for (size_t j = 0; j < taken.size(); ++j) {
      if (taken[j].name == taken[i].name) ++(j < i ? earlier : later);
    }
    const bool repeated = earlier + later > 1;
    writer.add_f32(repeated ? taken[i].name + "#" + std::to_string(earlier) : taken[i].name, taken[i].shape,
                   taken[i].values.data());
  }
  return writer.write(data, length);
}
