"""The pack's configuration, and training-time forwards of the reference modules that need no streaming state."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from characters import REPLACE
from frames import HEAD_DIM, LDIM, MAX_PERIOD, N_BIN, N_PCA, N_PTR, PTR_OMEGA, PTR_PAIRS, pointer

START = -0.6  # text position at the end of the first frame
PREFIX = 8  # trained key/value positions in front of the text: the "voice"
WIDTH, LAYERS, HEADS, FFN = 192, 6, 8, 640
HEAD_WIDTH, HEAD_DEPTH = 128, 1


def config(tokenizer, n_bins, weights=None, filters=24, decoder_layers=3):
    def transformer(dim, layers, heads, ffn, context):
        return dict(d_model=dim, num_heads=heads, num_layers=layers, layer_scale=0.3, context=context, dim_feedforward=ffn, input_dimension=dim, output_dimensions=[dim])

    def seanet(dim, n):
        return dict(dimension=dim, channels=1, n_filters=n, n_residual_layers=1, ratios=[6, 5, 4], kernel_size=3, residual_kernel_size=3, last_kernel_size=3, dilation_base=2, pad_mode="constant", compress=2)

    c = dict(
        default_temperature=0.0,
        default_eos_threshold=0.0,
        model_recommended_frames_after_eos=1,
        replace_characters=REPLACE,
        flow_lm=dict(
            dtype="float32",
            insert_bos_before_voice=False,
            flow=dict(depth=HEAD_DEPTH, dim=HEAD_WIDTH, type="drifting"),
            transformer=dict(d_model=WIDTH, hidden_scale=4, max_period=MAX_PERIOD, num_heads=HEADS, num_layers=LAYERS, attn_dim=HEADS * HEAD_DIM, dim_feedforward=FFN),
            lookup_table=dict(dim=WIDTH, n_bins=n_bins, tokenizer="sentencepiece", tokenizer_path=tokenizer),
        ),
        mimi=dict(
            dtype="float32",
            sample_rate=24000,
            inner_dim=8,
            outer_dim=128,
            channels=1,
            frame_rate=12.5,
            seanet=seanet(8, 1),
            transformer=transformer(8, 1, 1, 8, 8),
            quantizer=dict(dimension=LDIM, output_dimension=128),
            decoder_seanet=seanet(128, filters),
            decoder_transformer=transformer(128, decoder_layers, 4, 384, 50),
        ),
    )
    if weights:
        c["weights_path"] = weights
    return c


class Voice(nn.Module):
    """Key/value prefix of each layer; shipped as the voice file."""

    def __init__(self):
        super().__init__()
        self.k = nn.Parameter(torch.randn(LAYERS, PREFIX, HEADS, HEAD_DIM) * 0.5)
        self.v = nn.Parameter(torch.randn(LAYERS, PREFIX, HEADS, HEAD_DIM) * 0.1)


class Table(nn.Module):
    """Embedding rows as sums: the piece itself + its lower-case letters + word start + capital.  Export adds them up."""

    def __init__(self, pieces, dim):
        super().__init__()
        from tokenizer import features

        low, start, capital = features(pieces)
        self.register_buffer("low", torch.tensor(low), persistent=False)
        self.register_buffer("flags", torch.tensor([start, capital]).T.contiguous(), persistent=False)
        self.own = nn.Parameter(torch.randn(len(pieces), dim) * 0.02)
        self.letters = nn.Parameter(torch.randn(max(low) + 1, dim) * 0.5)
        self.marks = nn.Parameter(torch.randn(2, dim) * 0.1)

    def forward(self):
        return self.own + self.letters[self.low] + self.flags @ self.marks


class Speaker(nn.Module):
    """The flow LM of the reference package, its voice prefix and the factored table: all that train_lm.py trains."""

    def __init__(self, tokenizer, pieces):
        super().__init__()
        from pocket_tts.models.flow_lm import FlowLMModel
        from pocket_tts.utils.config import FlowLMConfig

        self.lm = FlowLMModel.from_pydantic_config(FlowLMConfig(**config(tokenizer, len(pieces))["flow_lm"]), LDIM, False)
        self.voice = Voice()
        self.table = Table(pieces, WIDTH)
        self.lm.conditioner.embed.weight.requires_grad_(False)
        # Of a fed-back latent only the constant and the pointer are read.
        keep = torch.zeros(LDIM)
        keep[N_PCA + N_BIN :] = 1
        self.register_buffer("keep", keep, persistent=False)
        f = torch.exp(torch.arange(HEAD_DIM // 2) * (-math.log(MAX_PERIOD) * 2 / HEAD_DIM))
        self.register_buffer("freqs", f, persistent=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self):
        """Layer 0 starts as position meters, layers 1-3 as windows of letters around the pointer.

        A meter head compares its position's rotation with the prefix keys, which sit evenly on the circle of one
        RoPE frequency, and writes (cos, sin) of that phase to the residual stream: every text piece knows its index.
        A window head turns the fed-back pointer by a fixed number of pieces and looks for that phase among the
        meters of the text, through the RoPE pairs that hardly turn: from the first step on, an audio position sees
        the letters around the one that is being spoken.
        """
        lm, D, A = self.lm, HEAD_DIM, HEADS * HEAD_DIM
        layers = lm.transformer.layers
        for layer in layers:
            layer.self_attn.out_proj.weight.mul_(0.5)
            layer.linear2.weight.mul_(0.5)
        meter, point, free = 1, 1 + 2 * N_PTR, 1 + 4 * N_PTR  # residual dimensions
        self.table.letters[:, :free], self.table.own[:, :free], self.table.marks[:, :free] = 0, 0, 0
        self.lm.input_linear.weight.zero_()
        self.lm.input_linear.weight[free:, N_PCA + N_BIN] = torch.randn(WIDTH - free) * 0.3
        for f in range(N_PTR):
            lm.input_linear.weight[point + 2 * f, N_PCA + N_BIN + 1 + f] = 1
            lm.input_linear.weight[point + 2 * f + 1, N_PCA + N_BIN + 1 + N_PTR + f] = 1
        lm.bos_emb.zero_()
        lm.bos_emb[N_PCA + N_BIN] = 1
        lm.bos_emb[-2 * N_PTR :] = torch.tensor(pointer(START))
        # meters
        att = layers[0].self_attn
        att.in_proj.weight.normal_(std=0.02)
        layers[0].norm1.weight[0], layers[0].norm1.bias[0] = 0, 1
        th = 2 * math.pi * torch.arange(PREFIX) / PREFIX
        self.voice.k[0], self.voice.v[0] = 0, 0
        a = D**0.5 / 3
        for h, f in enumerate(PTR_PAIRS):
            q = h * D
            for row in (2 * f, 2 * f + 1, D - 2, D - 1):
                att.in_proj.weight[q + row] = 0
                att.in_proj.weight[A + q + row] = 0
            att.in_proj.weight[q + 2 * f, 0] = 3
            att.in_proj.weight[q + D - 2, 0] = 3
            self.voice.k[0, :, h, 2 * f], self.voice.k[0, :, h, 2 * f + 1] = 5 * a * torch.cos(th), 5 * a * torch.sin(th)
            self.voice.k[0, :, h, D - 2] = 6 * a
            self.voice.v[0, :, h, 0], self.voice.v[0, :, h, 1] = torch.cos(th), torch.sin(th)
            att.out_proj.weight[meter + 2 * h : meter + 2 * h + 2] = 0
            att.out_proj.weight[meter + 2 * h, q], att.out_proj.weight[meter + 2 * h + 1, q + 1] = 1, 1
        for h, back in ((N_PTR, 1), (N_PTR + 1, 2)):  # the text's one and two pieces before
            q = h * D
            att.in_proj.weight[q : q + D] = 0
            att.in_proj.weight[A + q : A + q + D] = 0
            for f in range(4):
                w = float(self.freqs[f]) * back
                att.in_proj.weight[A + q + 2 * f, 0] = 4
                att.in_proj.weight[q + 2 * f, 0], att.in_proj.weight[q + 2 * f + 1, 0] = 4 * math.cos(w), -4 * math.sin(w)
            self.voice.k[0, :, h] = -1
        # windows
        for i, offsets in ((1, (-3, -2, -1, 0, 1, 2, 3)), (2, (-4, -2, -1, 0, 1, 2)), (3, (-1, 0))):
            att = layers[i].self_attn
            for h, o in enumerate(offsets):
                q = h * D
                att.in_proj.weight[q : q + D] *= 0.1
                att.in_proj.weight[A + q : A + q + D] *= 0.1
                self.voice.k[i, :, h] = 0
                for f, omega in enumerate(PTR_OMEGA):
                    r = q + D - 2 - 2 * f
                    w = omega * (PREFIX + o - 0.5)
                    c, s = 2.4 * math.cos(w), 2.4 * math.sin(w)
                    att.in_proj.weight[r, point + 2 * f], att.in_proj.weight[r, point + 2 * f + 1] = c, -s
                    att.in_proj.weight[r + 1, point + 2 * f], att.in_proj.weight[r + 1, point + 2 * f + 1] = s, c
                    att.in_proj.weight[A + r, meter + 2 * f], att.in_proj.weight[A + r + 1, meter + 2 * f + 1] = 2.4, 2.4
        for block in lm.flow_net.res_blocks:
            nn.init.zeros_(block.adaLN_modulation[1].weight)

    def rotate(self, x, cos, sin):
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)

    def forward(self, tok, latents, mask, pos):
        """tok [B, L] right-aligned, latents [B, T, LDIM] fed in, pos [B, L + T] -> (latents out, EOS logits)."""
        lm = self.lm
        x = torch.cat([F.embedding(tok, self.table()), F.linear(latents, lm.input_linear.weight * self.keep)], 1)
        B, n, d = x.shape
        T = latents.shape[1]
        angle = pos[..., None, None] * self.freqs
        cos, sin = angle.cos(), angle.sin()
        A = HEADS * HEAD_DIM
        last = len(lm.transformer.layers) - 1
        kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda") else torch.float32
        bias = torch.zeros(mask.shape, dtype=kind, device=mask.device).masked_fill_(~mask, -1e4).expand(-1, HEADS, -1, -1).reshape(B * HEADS, n, -1)
        for i, layer in enumerate(lm.transformer.layers):
            w = layer.self_attn.in_proj.weight
            h = layer.norm1(x)
            if i == last:  # only the audio positions ask and go on
                q = F.linear(h[:, -T:], w[:A]).view(B, T, HEADS, HEAD_DIM)
                k, v = F.linear(h, w[A:]).view(B, n, 2, HEADS, HEAD_DIM).unbind(2)
                q = self.rotate(q, cos[:, -T:], sin[:, -T:])
                x = x[:, -T:]
            else:
                q, k, v = F.linear(h, w).view(B, n, 3, HEADS, HEAD_DIM).unbind(2)
                q = self.rotate(q, cos, sin)
            k = self.rotate(k, cos, sin)
            k = torch.cat([self.voice.k[i].to(k.dtype)[None].expand(B, -1, -1, -1), k], 1).transpose(1, 2)
            v = torch.cat([self.voice.v[i].to(v.dtype)[None].expand(B, -1, -1, -1), v], 1).transpose(1, 2)
            # Written out: the backward of the CPU's attention kernel costs as much as all matrix products.
            s = torch.baddbmm(bias[:, -q.shape[1] :], q.transpose(1, 2).reshape(-1, q.shape[1], HEAD_DIM), k.reshape(-1, k.shape[2], HEAD_DIM).transpose(1, 2), alpha=HEAD_DIM**-0.5)
            o = torch.bmm(s.softmax(-1).to(v.dtype), v.reshape(-1, v.shape[2], HEAD_DIM)).view(B, HEADS, -1, HEAD_DIM)
            x = x + layer.self_attn.out_proj(o.transpose(1, 2).reshape(B, -1, A))
            x = x + layer.linear2(F.gelu(layer.linear1(layer.norm2(x)), approximate="tanh"))
        z = lm.out_norm(x).reshape(B * T, d)
        out = lm.flow_net(z, torch.zeros(B * T, LDIM, device=z.device))
        return out.view(B, T, LDIM).float(), lm.out_eos(z).view(B, T).float()

    @torch.no_grad()
    def fold(self):
        """Writes the summed table and the masked input projection into the module that is exported."""
        self.lm.conditioner.embed.weight.zero_()
        self.lm.conditioner.embed.weight[: len(self.table.own)] = self.table()
        self.lm.input_linear.weight.mul_(self.keep)


def conv(m, x):
    return m.conv(F.pad(x, (m._effective_kernel_size - m._stride, 0)))


def convtr(m, x):
    return m.convtr(x)[..., : -(m._kernel_size - m._stride)]


def decode(mimi, z):
    """[B, T, LDIM] -> [B, 1, 1920 T], equal to the streaming decode_from_latent from a zero state."""
    x = convtr(mimi.upsample.convtr, mimi.quantizer(z.transpose(1, 2)))
    (x,) = mimi.decoder_transformer(x, None)
    for m in mimi.decoder.model:
        if hasattr(m, "block"):
            v = x
            for b in m.block:
                v = conv(b, v) if hasattr(b, "conv") else b(v)
            x = x + v
        else:
            x = conv(m, x) if hasattr(m, "conv") else convtr(m, x) if hasattr(m, "convtr") else m(x)
    return x
