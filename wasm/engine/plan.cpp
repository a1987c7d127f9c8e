// Lists the tensors of a configuration.  Names are the reference's.
#include "plan.h"

#include <algorithm>

namespace ptts {

namespace {

class Planner {
 public:
  explicit Planner(std::vector<Slot>* slots) : slots_(slots) {}
  uint32_t part = 0;
  // What the matrices are in packs that are not f32.
  Matrix::Type type = Matrix::Type::kF32;

  void vector(std::string name, Shape shape, Buffer<float>* target) {
    slots_->push_back({std::move(name), std::move(shape), part, Layout::kVector, target});
  }
  void table(std::string name, Shape shape, Buffer<float>* exact, Matrix* rounded) {
    slots_->push_back(
        {std::move(name), std::move(shape), part, Layout::kTable, exact, rounded, Matrix::Type::kInt8});
  }
  void matrix(std::string name, size_t n, size_t k, Matrix* target) {
    slots_->push_back({std::move(name), {n, k}, part, Layout::kMatrix, nullptr, target, type});
  }
  void linear(const std::string& name, size_t n, size_t k, LinearWithBias* target) {
    matrix(name + ".weight", n, k, &target->weight);
    vector(name + ".bias", {n}, &target->bias);
  }
  void conv(const std::string& name, Conv1d* target, bool bias) {
    // (Of a residual block without an inner channel the second has no inputs.)
    const bool integers = target->out >= 4 && target->in > 0;
    slots_->push_back({name + ".weight",
                       {target->out, target->in, target->kernel},
                       part,
                       Layout::kConv,
                       nullptr,
                       &target->weight,
                       integers ? type : Matrix::Type::kF32,
                       target->stride,
                       target->dilation});
    if (bias) vector(name + ".bias", {target->out}, &target->bias);
  }
  void conv_transpose(const std::string& name, ConvTranspose1d* target) {
    slots_->push_back({name + ".weight",
                       {target->in, target->out, 2 * target->stride},
                       part,
                       Layout::kConvTranspose,
                       nullptr,
                       &target->weight,
                       type,
                       target->stride});
    slots_->push_back({name + ".bias",
                       {target->out},
                       part,
                       Layout::kConvTransposeBias,
                       &target->bias,
                       nullptr,
                       Matrix::Type::kF32,
                       target->stride});
  }

  void pointwise(std::string name, size_t out, size_t in, Matrix* target) {  // a convolution of one tap
    slots_->push_back({std::move(name), {out, in, 1}, part, Layout::kConv, nullptr, target});
  }
  void upsample(std::string name, size_t channels, size_t stride, Buffer<float>* target) {
    slots_->push_back({std::move(name), {channels, 1, 2 * stride}, part, Layout::kUpsample, target});
  }

  void transformer(const std::string& name, Transformer* t) {
    const TransformerConfig& c = t->config;
    t->layers.clear();
    t->layers.resize(c.layers);
    for (size_t i = 0; i < c.layers; ++i) {
      TransformerLayer& l = t->layers[i];
      const std::string at = name + ".layers." + std::to_string(i) + ".";
      matrix(at + "self_attn.in_proj.weight", c.attn_dim + 2 * c.kv_dim(), c.d_model, &l.in_proj);
      matrix(at + "self_attn.out_proj.weight", c.d_model, c.attn_dim, &l.out_proj);
      matrix(at + "linear1.weight", c.feed_forward, c.d_model, &l.linear1);
      matrix(at + "linear2.weight", c.d_model, c.feed_forward, &l.linear2);
      vector(at + "norm1.weight", {c.d_model}, &l.norm1_weight);
      vector(at + "norm1.bias", {c.d_model}, &l.norm1_bias);
      vector(at + "norm2.weight", {c.d_model}, &l.norm2_weight);
      vector(at + "norm2.bias", {c.d_model}, &l.norm2_bias);
      if (c.layer_scale) {
        vector(at + "layer_scale_1.scale", {c.d_model}, &l.scale1);
        vector(at + "layer_scale_2.scale", {c.d_model}, &l.scale2);
      }
    }
  }

  void projected_transformer(const std::string& name, ProjectedTransformer* p, Matrix::Type layers) {
    const TransformerConfig& c = p->transformer.config;
    if (c.input_dim != c.d_model) matrix(name + ".input_proj.weight", c.d_model, c.input_dim, &p->input_proj);
    if (c.output_dim != c.d_model) {
      matrix(name + ".output_projs.0.weight", c.output_dim, c.d_model, &p->output_proj);
    }
    type = layers;
    transformer(name + ".transformer", &p->transformer);
    type = Matrix::Type::kF32;
  }

  void seanet(const std::string& name, Seanet* net) {
    for (size_t i = 0; i < net->layers.size(); ++i) {
      Seanet::Layer& layer = net->layers[i];
      const std::string at = name + ".model." + std::to_string(i);
      switch (layer.kind) {
        case Seanet::Kind::kConv: conv(at + ".conv", &layer.conv, true); break;
        case Seanet::Kind::kConvTranspose: conv_transpose(at + ".convtr", &layer.convtr); break;
        case Seanet::Kind::kResidual:
          conv(at + ".block.1.conv", &layer.conv, true);
          conv(at + ".block.3.conv", &layer.conv2, true);
          break;
        case Seanet::Kind::kElu: break;
      }
    }
  }

  void flow_net(const std::string& name, FlowNet* net, const Config& c) {
    const size_t f = c.flow_dim;
    net->type = c.flow_type;
    net->latent = c.latent;
    net->dim = f;
    net->times = std::vector<TimeEmbedding>(c.time_inputs());
    net->blocks = std::vector<FlowBlock>(c.flow_depth);
    type = Matrix::Type::kInt12;
    for (size_t i = 0; i < net->times.size(); ++i) {
      const std::string at = name + ".time_embed." + std::to_string(i);
      vector(at + ".freqs", {kTimeFrequencies}, &net->times[i].freqs);
      linear(at + ".mlp.0", f, 2 * kTimeFrequencies, &net->times[i].first);
      linear(at + ".mlp.2", f, f, &net->times[i].second);
      vector(at + ".mlp.3.alpha", {f}, &net->times[i].alpha);
    }
    linear(name + ".cond_embed", f, c.hidden(), &net->cond_embed);
    for (size_t i = 0; i < net->blocks.size(); ++i) {
      const std::string at = name + ".res_blocks." + std::to_string(i);
      vector(at + ".in_ln.weight", {f}, &net->blocks[i].norm_weight);
      vector(at + ".in_ln.bias", {f}, &net->blocks[i].norm_bias);
      linear(at + ".mlp.0", f, f, &net->blocks[i].first);
      linear(at + ".mlp.2", f, f, &net->blocks[i].second);
      linear(at + ".adaLN_modulation.1", 3 * f, f, &net->blocks[i].modulation);
    }
    linear(name + ".final_layer.adaLN_modulation.1", 2 * f, f, &net->final_modulation);
    type = Matrix::Type::kF32;
    linear(name + ".input_proj", f, c.latent, &net->input_proj);
    linear(name + ".final_layer.linear", c.latent, f, &net->final_linear);
  }

 private:
  std::vector<Slot>* slots_;
};

void plan_flow_lm(Planner& plan, Model* model) {
  const Config& c = model->config;
  FlowLm& lm = model->flow_lm;
  const size_t d = c.backbone.d_model;
  lm.latent = c.latent;
  lm.hidden = c.hidden();
  lm.rank = c.rank;
  lm.transformer.config = c.backbone;
  plan.part = PTTS_PART_FLOW_LM;
  plan.vector("flow_lm.bos_emb", {c.latent}, &lm.bos_emb);
  if (c.bos_before_voice) plan.vector("flow_lm.bos_before_voice", {1, 1, d}, &lm.bos_before_voice);
  plan.matrix("flow_lm.speaker_proj_weight", d, c.inner_dim, &lm.speaker_proj);
  plan.table("flow_lm.conditioner.embed.weight", {c.n_bins + 1, c.rank > 0 ? c.rank : d}, &lm.embed,
             &lm.embed_int8);
  if (c.rank > 0) plan.matrix("flow_lm.conditioner.proj.weight", d, c.rank, &lm.embed_proj);
  plan.matrix("flow_lm.input_linear.weight", d, c.latent, &lm.input_linear);
  plan.type = Matrix::Type::kInt8;
  plan.transformer("flow_lm.transformer", &lm.transformer);
  plan.type = Matrix::Type::kF32;
  plan.vector("flow_lm.out_norm.weight", {d}, &lm.out_norm_weight);
  plan.vector("flow_lm.out_norm.bias", {d}, &lm.out_norm_bias);
  if (c.z_dim > 0) plan.matrix("flow_lm.z_proj.weight", c.z_dim, d, &lm.z_proj);
  plan.matrix("flow_lm.out_eos.weight", 1, c.hidden(), &lm.out_eos);
  plan.vector("flow_lm.out_eos.bias", {1}, &lm.out_eos_bias);
  plan.flow_net("flow_lm.flow_net", &lm.flow_net, c);
}

void plan_decoder(Planner& plan, Model* model) {
  const Config& c = model->config;
  MimiDecoder& m = model->decoder;
  m.upsampling = c.upsampling();
  m.samples_per_frame = c.samples_per_frame;
  m.transformer.transformer.config = c.decoder_transformer;
  m.seanet.build(c.decoder, true);
  plan.part = PTTS_PART_MIMI_DECODER;
  plan.vector("flow_lm.emb_std", {c.latent}, &m.emb_std);
  plan.vector("flow_lm.emb_mean", {c.latent}, &m.emb_mean);
  plan.pointwise("mimi.quantizer.output_proj.weight", c.outer_dim, c.latent, &m.quantizer);
  plan.upsample("mimi.upsample.convtr.convtr.weight", c.outer_dim, m.upsampling, &m.upsample);
  plan.projected_transformer("mimi.decoder_transformer", &m.transformer, Matrix::Type::kInt8);
  plan.type = Matrix::Type::kInt12;
  plan.seanet("mimi.decoder", &m.seanet);
  plan.type = Matrix::Type::kF32;
}

void plan_encoder(Planner& plan, Model* model) {
  const Config& c = model->config;
  MimiEncoder& m = model->encoder;
  m.samples_per_frame = c.samples_per_frame;
  m.rows_per_frame = c.samples_per_frame / c.encoder.hop();
  m.transformer.transformer.config = c.encoder_transformer;
  m.seanet.build(c.encoder, false);
  m.downsample.in = c.encoder.dimension;
  m.downsample.out = c.inner_dim;
  m.downsample.stride = m.rows_per_frame;
  m.downsample.kernel = 2 * m.rows_per_frame;
  m.downsample.replicate = true;
  plan.part = PTTS_PART_MIMI_ENCODER;
  plan.seanet("mimi.encoder", &m.seanet);
  plan.projected_transformer("mimi.encoder_transformer", &m.transformer, Matrix::Type::kF32);
  plan.conv("mimi.downsample.conv.conv", &m.downsample, false);
}

}  // namespace

std::vector<Slot> plan_model(Model* model) {
  std::vector<Slot> slots;
  Planner plan(&slots);
  plan_flow_lm(plan, model);
  plan_decoder(plan, model);
  plan_encoder(plan, model);
  std::sort(slots.begin(), slots.end(), [](const Slot& a, const Slot& b) { return a.name < b.name; });
  return slots;
}

const char* packed_suffix(Matrix::Type type) {
  return type == Matrix::Type::kInt8 ? ".q8" : type == Matrix::Type::kInt4 ? ".q4" : ".q12";
}

Matrix::Type Slot::working(uint32_t precision) const {
  if (precision == PTTS_PRECISION_F32) return Matrix::Type::kF32;
  // 4 bits where most of the weights are: the FlowLM's transformer.
  const bool four = precision == PTTS_PRECISION_Q4 && type == Matrix::Type::kInt8 &&
                    part == PTTS_PART_FLOW_LM && layout != Layout::kTable;
  return four ? Matrix::Type::kInt4 : type;
}

MatrixShape Slot::matrix_shape() const {
  switch (layout) {
    case Layout::kConv: return {shape[0], shape[2], shape[1], true, stride == 1 && dilation == 1};
    case Layout::kConvTranspose: return {stride * shape[1], 2, shape[0], true, true};
    default: return {shape[0], 1, shape[1]};
  }
}

size_t Slot::working_bytes(uint32_t precision) const {
  const size_t count = shape_count(shape);
  if (matrix == nullptr) {
    return count * sizeof(float) * (layout == Layout::kConvTransposeBias ? stride : 1);
  }
  Matrix like;
  like.lay_out(matrix_shape(), working(precision));
  return like.panel_bytes() + (like.integer() ? like.scale_count() * sizeof(float) : 0);
}

ptts_status Slot::create(uint32_t precision, bool packed) {
  const char* what = name.c_str();
  switch (layout) {
    case Layout::kVector:
    case Layout::kUpsample: return vector->allocate(shape_count(shape), what);
    case Layout::kTable:
      if (precision != PTTS_PRECISION_F32) break;
      matrix = nullptr;
      return vector->allocate(shape_count(shape), what);
    case Layout::kConvTransposeBias: return vector->allocate(shape[0] * stride, what);
    default: break;
  }
  const Matrix::Order order = packed                             ? Matrix::Order::kPacked
                              : layout == Layout::kConvTranspose ? Matrix::Order::kAny
                                                                 : Matrix::Order::kRows;
  return matrix->create(matrix_shape(), working(precision), order, what);
}

namespace {

// each(i, row, column): where elements [first, first + count) of a convolution, [out, in, kernel] or [in, out, 2 stride],
// lie in its matrix.
template <typename Each>
void walk(const Slot& slot, size_t first, size_t count, Each each) {
  const Shape& s = slot.shape;
  size_t tap = first % s[2], middle = first / s[2] % s[1], outer = first / s[2] / s[1];
  for (size_t i = 0; i < count; ++i) {
    if (slot.layout == Layout::kConv) {
      each(i, outer, tap * s[1] + middle);
    } else {
      // Tap j of the first half meets x[t], of the second half x[t-1]; output row j mod stride.
      const bool now = tap < slot.stride;
      each(i, (now ? tap : tap - slot.stride) * s[1] + middle, now ? s[0] + outer : outer);
    }
    if (++tap < s[2]) continue;
    tap = 0;
    if (++middle < s[1]) continue;
    middle = 0;
    ++outer;
  }
}

}  // namespace

void Slot::get(size_t first, float* values, size_t count) const {
  switch (layout) {
    case Layout::kVector:
    case Layout::kTable:
    case Layout::kConvTransposeBias: std::copy_n(vector->data() + first, count, values); break;
    case Layout::kUpsample:
      for (size_t i = 0; i < count; ++i) {
        values[i] = (*vector)[(first + i) % shape[2] * shape[0] + (first + i) / shape[2]];
      }
      break;
    case Layout::kMatrix:
      for (size_t i = 0; i < count; ++i) {
        values[i] = matrix->element((first + i) / shape[1], (first + i) % shape[1]);
      }
      break;
    case Layout::kConv:
    case Layout::kConvTranspose:
      walk(*this, first, count,
           [&](size_t i, size_t row, size_t column) { values[i] = matrix->element(row, column); });
      break;
  }
}

ptts_status Slot::put(size_t first, const float* values, size_t count) {
  switch (layout) {
    case Layout::kVector: std::copy_n(values, count, vector->data() + first); break;
    case Layout::kTable:
      if (matrix == nullptr) {
        std::copy_n(values, count, vector->data() + first);
        break;
      }
      [[fallthrough]];
    case Layout::kMatrix:
      while (count > 0) {  // row by row
        const size_t row = first / shape[1], column = first % shape[1],
                     here = std::min(count, shape[1] - column);
        PTTS_TRY(matrix->put(row, column, values, here));
        first += here;
        values += here;
        count -= here;
      }
      break;
    case Layout::kConv:
    case Layout::kConvTranspose:
      walk(*this, first, count,
           [&](size_t i, size_t row, size_t column) { matrix->put_element(row, column, values[i]); });
      break;
    case Layout::kConvTransposeBias:
      for (size_t i = 0; i < count; ++i) {
        for (size_t j = 0; j < stride; ++j) (*vector)[j * shape[0] + first + i] = values[i];
      }
      break;
    case Layout::kUpsample:
      for (size_t i = 0; i < count; ++i) {
        const size_t tap = (first + i) % shape[2], channel = (first + i) / shape[2];
        (*vector)[tap * shape[0] + channel] = values[i];
      }
      break;
  }
  return PTTS_OK;
}

}  // namespace ptts
