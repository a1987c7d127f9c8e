"""The reference's architecture as ONNX graphs, checked against the reference before anything is timed.

Usage:   python export_onnx.py PACK [PACK ...]      folders made by make_packs.py; writes PACK/onnx/
Needs:   pocket-tts==4.0.1, torch, onnx, onnxruntime.

Three graphs, samplers outside, built operator by operator from the loaded reference's weights in the form that
onnxruntime runs best (found by trying; see VARIANTS):

  flow_lm   ids [M] int64, latents [S, ldim], position, cache [1] int64, mask [1, cache], and per layer
            past_k [heads, width, cache], past_v [heads, cache, width]
            -> hidden [1, d], eos [1, 1], and per layer the new rows new_k [heads, width, M+S], new_v [heads, M+S, width].
            The host owns the cache and writes the rows into it: no cache leaves the graph.
  flow_net  hidden [1, d], noise [1, ldim] -> velocity [1, ldim]; time embeddings of the one-step sampler are constants
  mimi      latent [1, ldim], position, mask [steps, ring], per layer past_k, past_v (rings), per convolution its last
            input columns -> pcm [1920], new rows, new columns

A run of FRAMES teacher-forced frames through onnxruntime is compared with the reference; expect.bin lets other hosts
do the same. Limits: f32 1e-3 of the largest value; int8 as stated in LIMITS (8-bit activations are coarse).
"""

import argparse
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from make_packs import load_reference  # noqa: E402
from pocket_tts.modules.stateful_module import increment_steps, init_states  # noqa: E402
from pocket_tts.modules.conv import StreamingConv1d, StreamingConvTranspose1d  # noqa: E402
from pocket_tts.modules.seanet import SEANetResnetBlock  # noqa: E402

FRAMES = 6  # compared with the reference
OPSET = 20
# Largest deviation from the reference relative to the largest value of the reference: hidden vector, samples.
LIMITS = {"f32": (1e-3, 1e-3), "int8": (0.08, 0.08)}
NEVER = -1e9  # a masked score
RING_MARGIN = 0


class Graph:
    """Nodes, constants, inputs and outputs under construction. Values are names."""

    def __init__(self, name):
        self.name, self.nodes, self.constants, self.inputs, self.outputs, self.count = name, [], [], [], [], 0
        self.known = {}

    def value(self, array, dtype=np.float32):
        array = np.ascontiguousarray(np.asarray(array, dtype=dtype))
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size < 64 else None
        if key in self.known:
            return self.known[key]
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        if key is not None:
            self.known[key] = name
        return name

    def shape(self, *extents):
        return self.value(extents, np.int64)

    def __call__(self, kind, *inputs, outputs=1, domain="", **attributes):
        self.count += 1
        names = [f"{kind}_{self.count}" if outputs == 1 else f"{kind}_{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"n{self.count}_{kind}", domain=domain,
                                           **attributes))
        return names[0] if outputs == 1 else names

    def input(self, name, shape, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, value, shape):
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"out_{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    # -- layers; weights are the reference's (out, in)
    def linear(self, x, weight, bias=None):
        y = self("MatMul", x, self.value(weight.T))
        return y if bias is None else self("Add", y, self.value(bias))

    def norm(self, x, weight, bias, eps):
        return self("LayerNormalization", x, self.value(weight), self.value(bias), epsilon=eps)

    def reshape(self, x, *extents):
        return self("Reshape", x, self.shape(*extents))

    def slice(self, x, begin, end, axis):
        return self("Slice", x, self.shape(begin), self.shape(end), self.shape(axis))

    def silu(self, x):
        return self("Mul", x, self("Sigmoid", x))

    def save(self, path):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET),
                                                        helper.make_opsetid("com.microsoft", 1)], ir_version=10)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def numpy(tensor):
    return tensor.detach().float().numpy()


def attention(g, x, layer, i, rows, prefix, position, tables, past_mask, new_mask, cache_end, scale_1):
    """Self-attention of layer i over the host's cache and the new rows; x [rows, d]."""
    attn = layer.self_attn
    heads, kv, width = attn.num_heads, attn.num_kv_heads, attn.dim_per_head
    group = heads // kv
    weight = numpy(attn.in_proj.weight).copy()
    weight[: attn.attn_dim] *= 1 / math.sqrt(width)  # the scores' scale; rotation is linear
    projected = g.linear(x, weight)
    qk, v = g("Split", projected, g.shape(attn.attn_dim + kv * width, kv * width), outputs=2, axis=1)
    rotated = g("RotaryEmbedding", g("Unsqueeze", qk, g.shape(0)), position, *tables, domain="com.microsoft",
                interleaved=1)
    q, k = g("Split", g("Squeeze", rotated, g.shape(0)), g.shape(attn.attn_dim, kv * width), outputs=2, axis=1)
    q = g("Transpose", g.reshape(q, -1, heads, width), perm=[1, 0, 2])
    if group > 1:
        q = g("Reshape", q, g.shape(kv, -1, width))  # [kv, group * rows, width]: query heads of a key head are neighbours
    k = g("Transpose", g.reshape(k, -1, kv, width), perm=[1, 2, 0])
    v = g("Transpose", g.reshape(v, -1, kv, width), perm=[1, 0, 2])
    g.output(f"new_k{i}", k, [kv, width, rows])
    g.output(f"new_v{i}", v, [kv, rows, width])
    past_k, past_v = g.input(f"past_k{i}", [kv, width, "cache"]), g.input(f"past_v{i}", [kv, "cache", width])
    past = g("Add", g("MatMul", q, past_k), past_mask)
    fresh = g("Add", g("MatMul", q, k), new_mask)
    weights = g("Softmax", g("Concat", past, fresh, axis=2), axis=2)
    out = g("Add",
            g("MatMul", g("Slice", weights, g.shape(0), cache_end, g.shape(2)), past_v),
            g("MatMul", g("Slice", weights, cache_end, g.shape(2**62), g.shape(2)), v))
    if group > 1:
        out = g("Reshape", out, g.shape(heads, -1, width))
    out = g.reshape(g("Transpose", out, perm=[1, 0, 2]), -1, attn.attn_dim)
    return g.linear(out, numpy(attn.out_proj.weight) * scale_1[:, None])


def transformer(g, x, layers, rows, position, tables, past_mask, new_mask, cache_end):
    for i, layer in enumerate(layers):
        d = layer.norm1.weight.shape[0]
        scales = [numpy(s.scale) if hasattr(s, "scale") else np.ones(d, np.float32)
                  for s in (layer.layer_scale_1, layer.layer_scale_2)]
        y = g.norm(x, numpy(layer.norm1.weight), numpy(layer.norm1.bias), layer.norm1.eps)
        x = g("Add", x, attention(g, y, layer, i, rows, "", position, tables, past_mask, new_mask, cache_end, scales[0]))
        y = g.norm(x, numpy(layer.norm2.weight), numpy(layer.norm2.bias), layer.norm2.eps)
        y = g("Gelu", g.linear(y, numpy(layer.linear1.weight)), approximate="tanh")
        x = g("Add", x, g.linear(y, numpy(layer.linear2.weight) * scales[1][:, None]))
    return x


def rotary_tables(width, period, length):
    inverse = np.exp(np.arange(width // 2, dtype=np.float32) * (-math.log(period) * 2 / width)).astype(np.float32)
    angle = np.arange(length, dtype=np.float32)[:, None] * inverse
    return np.cos(angle), np.sin(angle)


def export_flow_lm(tts, path, length=4096):
    lm = tts.flow_lm
    attn = lm.transformer.layers[0].self_attn
    group = attn.num_heads // attn.num_kv_heads
    g = Graph("flow_lm")
    ids = g.input("ids", ["M"], TensorProto.INT64)
    latents = g.input("latents", ["S", lm.ldim])
    position = g.input("position", [1], TensorProto.INT64)
    cache_end = g.input("cache", [1], TensorProto.INT64)
    mask = g.input("mask", [1, "cache"])
    new_mask = g.input("new_mask", ["queries", "rows"])
    table = numpy(lm.conditioner.embed.weight)
    text = g("Gather", g.value(table), ids, axis=0)
    if lm.conditioner.proj is not None:
        text = g.linear(text, numpy(lm.conditioner.proj.weight))
    x = g("Concat", text, g.linear(latents, numpy(lm.input_linear.weight)), axis=0)
    tables = [g.value(t) for t in rotary_tables(attn.dim_per_head, lm.transformer.max_period, length)]
    x = transformer(g, x, lm.transformer.layers, "rows", position, tables, mask, new_mask, cache_end)
    x = g("Slice", x, g.shape(-1), g.shape(2**62), g.shape(0))
    x = g.norm(x, numpy(lm.out_norm.weight), numpy(lm.out_norm.bias), lm.out_norm.eps)
    if lm.z_proj is not None:
        x = g.linear(x, numpy(lm.z_proj.weight))
    eos = g.linear(x, numpy(lm.out_eos.weight), numpy(lm.out_eos.bias))
    g.output("hidden", x, [1, lm.out_eos.weight.shape[1]])
    g.output("eos", eos, [1, 1])
    g.save(path)
    return dict(layers=len(lm.transformer.layers), kv=attn.num_kv_heads, width=attn.dim_per_head, group=group)


def export_flow_net(tts, path):
    net, lm = tts.flow_lm.flow_net, tts.flow_lm
    g = Graph("flow_net")
    hidden, noise = g.input("hidden", [1, lm.out_eos.weight.shape[1]]), g.input("noise", [1, lm.ldim])
    bias = net.cond_embed.bias.detach().clone()
    if net.num_time_conds:  # one step: from 0 (to 1)
        times = [torch.zeros(1, 1), torch.ones(1, 1)][: net.num_time_conds]
        bias = bias + sum(embed(t)[0] for embed, t in zip(net.time_embed, times)) / net.num_time_conds
    y = g.silu(g.linear(hidden, numpy(net.cond_embed.weight), numpy(bias)))
    # All modulations are linear in y: one product.
    mods = [block.adaLN_modulation[1] for block in net.res_blocks] + [net.final_layer.adaLN_modulation[1]]
    weight = np.concatenate([numpy(m.weight) for m in mods])
    added = np.concatenate([numpy(m.bias) for m in mods])
    d = net.model_channels
    # The scale of a modulation is used as 1 + scale.
    for i in range(len(mods)):
        at = 3 * d * i + d
        added[at : at + d] += 1
    parts = g("Split", g.linear(y, weight, added), g.shape(*[d] * (3 * len(net.res_blocks) + 2)),
              outputs=3 * len(net.res_blocks) + 2, axis=1)
    x = g.linear(noise, numpy(net.input_proj.weight), numpy(net.input_proj.bias))
    for i, block in enumerate(net.res_blocks):
        shift, scale, gate = parts[3 * i : 3 * i + 3]
        h = g.norm(x, numpy(block.in_ln.weight), numpy(block.in_ln.bias), block.in_ln.eps)
        h = g("Add", g("Mul", h, scale), shift)
        h = g.silu(g.linear(h, numpy(block.mlp[0].weight), numpy(block.mlp[0].bias)))
        h = g.linear(h, numpy(block.mlp[2].weight), numpy(block.mlp[2].bias))
        x = g("Add", x, g("Mul", gate, h))
    shift, scale = parts[-2:]
    h = g.norm(x, np.ones(d), np.zeros(d), net.final_layer.norm_final.eps)
    h = g("Add", g("Mul", h, scale), shift)
    g.output("velocity", g.linear(h, numpy(net.final_layer.linear.weight), numpy(net.final_layer.linear.bias)),
             [1, lm.ldim])
    g.save(path)


def elu(g, x):
    return g("Elu", x, alpha=1.0)


class Columns:
    """Channels first, [1, C, T], with Conv and ConvTranspose."""

    def __init__(self, g):
        self.g, self.states = g, []

    def begin(self, rows, dim):  # [T, C] -> [1, C, T]
        return self.g("Unsqueeze", self.g("Transpose", rows, perm=[1, 0]), self.g.shape(0))

    def carry(self, x, channels, count):
        """The last `count` columns before x, kept by the host."""
        g, i = self.g, len(self.states)
        before = g.input(f"state{i}", [1, channels, count])
        self.states.append([1, channels, count])
        x = g("Concat", before, x, axis=2)
        g.output(f"next{i}", g.slice(x, -count, 2**62, 2), [1, channels, count])
        return x

    def conv(self, x, conv):
        weight = numpy(conv.weight)
        carried = (weight.shape[2] - 1) * conv.dilation[0]
        if carried:
            x = self.carry(x, weight.shape[1], carried)
        inputs = [x, self.g.value(weight)] + ([] if conv.bias is None else [self.g.value(numpy(conv.bias))])
        return self.g("Conv", *inputs, kernel_shape=[weight.shape[2]], dilations=list(conv.dilation))

    def transposed(self, x, conv):
        """The column before x instead of the reference's overlap: the same sums, cropped by the operator."""
        weight, stride = numpy(conv.weight), conv.stride[0]
        x = self.carry(x, weight.shape[0], 1)
        inputs = [x, self.g.value(weight)] + ([] if conv.bias is None else [self.g.value(numpy(conv.bias))])
        return self.g("ConvTranspose", *inputs, kernel_shape=[weight.shape[2]], strides=[stride], pads=[stride, stride])

    def end(self, x):
        return self.g.reshape(x, -1)


class Rows:
    """Channels last, [T, C]: every convolution is a MatMul over neighbouring rows laid side by side."""

    def __init__(self, g):
        self.g, self.states = g, []

    def begin(self, rows, dim):
        return rows

    def carry(self, x, channels, count):
        g, i = self.g, len(self.states)
        before = g.input(f"state{i}", [count, channels])
        self.states.append([count, channels])
        x = g("Concat", before, x, axis=0)
        g.output(f"next{i}", g.slice(x, -count, 2**62, 0), [count, channels])
        return x

    def side_by_side(self, x, taps, dilation):
        """Row t becomes rows t, t + dilation, ... one behind the other."""
        g = self.g
        last = (taps - 1) * dilation
        return g("Concat", *[g.slice(x, j * dilation, (j * dilation - last) or 2**62, 0) for j in range(taps)], axis=1)

    def conv(self, x, conv):
        weight = numpy(conv.weight)  # [out, in, k]
        out, channels, taps = weight.shape
        if taps > 1:
            x = self.carry(x, channels, (taps - 1) * conv.dilation[0])
            x = self.side_by_side(x, taps, conv.dilation[0])
        return self.g.linear(x, weight.transpose(0, 2, 1).reshape(out, -1), None if conv.bias is None else numpy(conv.bias))

    def transposed(self, x, conv):
        weight, stride = numpy(conv.weight), conv.stride[0]  # [in, out, 2 * stride]
        channels, out, _ = weight.shape
        x = self.side_by_side(self.carry(x, channels, 1), 2, 1)
        halves = weight.reshape(channels, out, 2, stride)
        # The older row takes the second half of the kernel.
        matrix = np.concatenate([halves[:, :, 1], halves[:, :, 0]])  # [2 in, out, stride]
        matrix = matrix.transpose(2, 1, 0).reshape(stride * out, 2 * channels)
        bias = None if conv.bias is None else np.tile(numpy(conv.bias), stride)
        return self.g.reshape(self.g.linear(x, matrix, bias), -1, out)

    def end(self, x):
        return self.g.reshape(x, -1)


def export_mimi(tts, path, layout, length=8192):
    mimi, lm = tts.mimi, tts.flow_lm
    steps = int(mimi.encoder_frame_rate / mimi.frame_rate)
    g = Graph("mimi")
    latent = g.input("latent", [1, lm.ldim])
    position = g.input("position", [1], TensorProto.INT64)
    projected = mimi.decoder_transformer
    layers = projected.transformer.layers
    attn = layers[0].self_attn
    context = attn.context
    ring = math.ceil((context - 1) / steps) * steps
    mask = g.input("mask", [steps, ring])
    # De-normalisation and output projection: one product.
    weight = numpy(mimi.quantizer.output_proj.weight)[:, :, 0]
    x = g.linear(latent, weight * numpy(lm.emb_std)[None], weight @ numpy(lm.emb_mean))  # [1, C]
    upsample = mimi.upsample.convtr.convtr
    kernel = numpy(upsample.weight)[:, 0].T  # [2 * steps, C]; depthwise
    channels = kernel.shape[1]
    before = g.input("up_before", [1, x and weight.shape[0]])
    g.output("up_next", x, [1, weight.shape[0]])
    x = g("Add", g("Mul", before, g.value(kernel[steps:])), g("Mul", x, g.value(kernel[:steps])))  # [steps, C]
    if projected.input_proj is not None:
        x = g.linear(x, numpy(projected.input_proj.weight))
    tables = [g.value(t) for t in rotary_tables(attn.dim_per_head, projected.transformer.max_period, length)]
    delta = np.arange(steps)[:, None] - np.arange(steps)[None]
    causal = np.where((delta >= 0) & (delta < context), 0, NEVER).astype(np.float32)
    x = transformer(g, x, layers, steps, position, tables, mask, g.value(causal), g.shape(ring))
    if hasattr(projected.output_projs[0], "weight"):
        x = g.linear(x, numpy(projected.output_projs[0].weight))
    maker = layout(g)
    x = maker.begin(x, channels)

    def walk(modules, x):
        for module in modules:
            if isinstance(module, StreamingConv1d):
                x = maker.conv(x, module.conv)
            elif isinstance(module, StreamingConvTranspose1d):
                x = maker.transposed(x, module.convtr)
            elif isinstance(module, SEANetResnetBlock):
                x = g("Add", x, walk(module.block, x))
            else:
                x = elu(g, x)
        return x

    x = walk(mimi.decoder.model, x)
    g.output("pcm", maker.end(x), [steps * 120])
    # Fixed sizes let onnxruntime plan the memory.
    for value in g.inputs:
        if value.name.startswith("past_"):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param == "cache":
                    dim.dim_value = ring
    g.save(path)
    return dict(layers=len(layers), heads=attn.num_heads, width=attn.dim_per_head, context=context, ring=ring, steps=steps,
                up=[1, weight.shape[0]], states=maker.states)


def quantize(source, target, exclude):
    """onnxruntime's dynamic quantisation: int8 weights by column, 8-bit activations."""
    model = onnx.load(source)
    skipped = [n.name for n in model.graph.node if n.op_type == "MatMul" and exclude(n, model)]
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"],
                     nodes_to_exclude=skipped, extra_options=dict(DefaultTensorType=TensorProto.FLOAT))


def is_large(limit):
    """Excludes what is no product with a constant matrix of at least `limit` elements."""
    def exclude(node, model):
        sizes = {c.name: int(np.prod(c.dims)) for c in model.graph.initializer}
        return sizes.get(node.input[1], 0) < limit
    return exclude


# ---------------------------------------------------------------------------------------------- the check


def reference_run(tts, ids, noise):
    """FRAMES frames of the reference with given noise: hidden vectors, latents, samples."""
    from pocket_tts.models.tts_model import F  # noqa: F401  (the package is loaded)
    state = tts.get_state_for_audio_prompt(tts.bench_voice)
    lm, hidden = tts.flow_lm, []
    handle = lm.out_eos.register_forward_hook(lambda _m, a, _o: hidden.append(a[0].reshape(-1).numpy().copy()))
    queue = [torch.zeros(lm.ldim), *torch.from_numpy(noise)]
    normal = torch.nn.init.normal_
    torch.nn.init.normal_ = lambda tensor, **_: tensor.copy_(queue.pop(0).view_as(tensor))
    try:
        tts._expand_kv_cache(state, sequence_length=tts._flow_lm_current_end(state) + len(ids) + FRAMES)
        tts._run_flow_lm_and_increment_step(model_state=state, text_tokens=torch.tensor([ids]))
        current, latents = torch.full((1, 1, lm.ldim), float("nan")), []
        for _ in range(FRAMES):
            current, _ = tts._run_flow_lm_and_increment_step(model_state=state, backbone_input_latents=current)
            latents.append(current[0, 0])
    finally:
        torch.nn.init.normal_ = normal
        handle.remove()
    steps = int(tts.mimi.encoder_frame_rate / tts.mimi.frame_rate)
    mimi_state, pcm = init_states(tts.mimi, batch_size=1, sequence_length=FRAMES * steps), []
    for latent in latents:
        pcm.append(tts.mimi.decode_from_latent((latent * lm.emb_std + lm.emb_mean).view(1, 1, -1), mimi_state)[0, 0].numpy())
        increment_steps(tts.mimi, mimi_state, increment=steps)
    return np.stack(hidden[1:]), torch.stack(latents).numpy(), np.concatenate(pcm)


def compare(name, meta, folder, variant, expected, latents, noise):
    """Teacher-forced run of a set of graphs against the reference; stops the programme when they differ."""
    from onnx_host import Speaker
    speaker = Speaker(folder, variant, threads=1)
    hidden, pcm = speaker.forced(meta["ids"], latents, noise)
    worst = []
    for label, ours, theirs, limit in zip(("hidden", "samples"), (hidden, pcm), (expected[0], expected[2]), LIMITS[meta_precision(variant)]):
        deviation = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        worst.append(deviation)
        if not deviation <= limit:
            raise SystemExit(f"{name}: {variant}: {label} deviates from the reference by {deviation:.2e} of its largest value, "
                             f"the limit is {limit:.0e}")
    print(f"{name}: {variant}: hidden {worst[0]:.1e}, samples {worst[1]:.1e} of the largest value away from the reference")
    return worst


def meta_precision(variant):
    return "int8" if "int8" in variant else "f32"


# What is tried: name -> file of each graph.
VARIANTS = {
    "f32": dict(flow_lm="flow_lm.f32", flow_net="flow_net.f32", mimi="mimi_rows.f32"),
    "f32-conv": dict(flow_lm="flow_lm.f32", flow_net="flow_net.f32", mimi="mimi_conv.f32"),
    "int8": dict(flow_lm="flow_lm.int8", flow_net="flow_net.f32", mimi="mimi_rows.f32"),
    "int8-conv": dict(flow_lm="flow_lm.int8", flow_net="flow_net.f32", mimi="mimi_conv.f32"),
    "int8-all": dict(flow_lm="flow_lm.int8", flow_net="flow_net.int8", mimi="mimi_rows.int8"),
}


def export(folder):
    tts = load_reference(folder)
    tts.eval()
    tts.bench_voice = folder / "voice.safetensors"
    bench = json.loads((folder / "bench.json").read_text())
    out = folder / "onnx"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    lm = tts.flow_lm
    meta = dict(flow_type=lm.flow_type, ldim=lm.ldim, temperature=tts.temp, bos=numpy(lm.bos_emb).tolist(),
                ids=bench["ids"], frames=FRAMES, never=NEVER, variants=VARIANTS)
    meta["flow_lm"] = export_flow_lm(tts, out / "flow_lm.f32.onnx")
    export_flow_net(tts, out / "flow_net.f32.onnx")
    meta["mimi"] = export_mimi(tts, out / "mimi_rows.f32.onnx", Rows)
    meta["mimi_conv_states"] = export_mimi(tts, out / "mimi_conv.f32.onnx", Columns)["states"]
    quantize(out / "flow_lm.f32.onnx", out / "flow_lm.int8.onnx", is_large(10_000))
    quantize(out / "flow_net.f32.onnx", out / "flow_net.int8.onnx", is_large(10_000))
    quantize(out / "mimi_rows.f32.onnx", out / "mimi_rows.int8.onnx", is_large(10_000))
    # The voice in the layout of the cache: per layer keys [kv, width, rows], then values [kv, rows, width].
    state = tts.get_state_for_audio_prompt(tts.bench_voice)
    caches = [s["cache"][:, 0, : int(s["offset"][0])] for s in state.values()]  # [2, rows, kv, width]
    meta["voice_rows"] = caches[0].shape[1]
    np.concatenate([part.ravel() for c in caches for part in (numpy(c[0]).transpose(1, 2, 0), numpy(c[1]).transpose(1, 0, 2))]
                   ).astype("<f4").tofile(out / "voice.bin")
    noise = np.random.default_rng(5).standard_normal((FRAMES, lm.ldim)).astype(np.float32) * math.sqrt(max(tts.temp, 0.01))
    expected = reference_run(tts, meta["ids"], noise)
    np.concatenate([a.ravel() for a in (noise, expected[1], expected[0], expected[2])]).astype("<f4").tofile(out / "expect.bin")
    meta["limits"], meta["hidden"] = LIMITS, expected[0].shape[1]
    (out / "meta.json").write_text(json.dumps(meta) + "\n")
    for variant in VARIANTS:
        compare(folder.name, meta, out, variant, expected, expected[1], noise)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("packs", nargs="+", type=Path)
    torch.set_num_threads(1)
    with torch.no_grad():
        for folder in p.parse_args().packs:
            export(folder.resolve())


if __name__ == "__main__":
    main()
