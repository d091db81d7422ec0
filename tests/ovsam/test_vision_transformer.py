import torch
import torch.nn.functional as F

from ovsam.config import SamConfig, VitConfig
from ovsam.sam import SamImageEncoder
from ovsam.vision_transformer import (
    Attention,
    LayerNorm2d,
    TransformerBlock,
    VisionTransformer,
    relative_position_table,
    resize_positions,
)


def attend_by_definition(attention: Attention, qkv: torch.Tensor) -> torch.Tensor:
    """SAM's attention, written out with a full score matrix."""
    batch, height, width, _ = qkv.shape
    q, k, v = qkv.view(batch, height * width, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    for i in range(height * width):
        for j in range(height * width):
            dy = i // width - j // width + height - 1
            dx = i % width - j % width + width - 1
            table = attention.rel_pos_h[dy] + attention.rel_pos_w[dx]
            scores[:, :, i, j] += q[:, :, i] @ table
    out = scores.softmax(-1) @ v
    return out.transpose(1, 2).reshape(batch, height, width, -1)


@torch.no_grad()
def test_attention_equals_its_definition() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, 3)
    attention.rel_pos_h.normal_()
    attention.rel_pos_w.normal_()
    qkv = torch.randn(2, 3, 3, 24)
    torch.testing.assert_close(attention.attend(qkv), attend_by_definition(attention, qkv))


@torch.no_grad()
def test_attention_in_rows_equals_attention_at_once(monkeypatch) -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, 4)
    attention.rel_pos_w.normal_()
    qkv = torch.randn(1, 4, 4, 24)
    whole = attention.attend(qkv)
    monkeypatch.setattr("ovsam.vision_transformer._BIAS_ELEMENTS", 1)
    torch.testing.assert_close(attention.attend(qkv), whole)


@torch.no_grad()
def test_bfloat16_on_the_cpu_stays_close_to_float32() -> None:
    torch.manual_seed(0)
    attention = Attention(16, 2, 4)
    qkv = torch.randn(1, 4, 4, 48)
    half = attention.attend(qkv.bfloat16()).float()
    torch.testing.assert_close(half, attention.attend(qkv), atol=0.03, rtol=0.03)


@torch.no_grad()
def test_padded_windows_equal_zero_padding_before_the_projection() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, 2.0, window=3, grid=5)
    block.attn.rel_pos_h.normal_()
    x = torch.randn(1, 5, 4, 8)
    padded = torch.zeros(1, 6, 6, 8)
    padded[:, :5, :4] = block.norm1(x)
    out = torch.zeros(1, 6, 6, 8)
    for top in (0, 3):
        for left in (0, 3):
            window = padded[:, top : top + 3, left : left + 3]
            out[:, top : top + 3, left : left + 3] = block.attn.attend(block.attn.qkv(window))
    after = x + block.attn.proj(out[:, :5, :4])
    torch.testing.assert_close(block(x), after + block.mlp(block.norm2(after)))


def test_relative_table_of_another_size_is_resized() -> None:
    table = torch.arange(5.0)[:, None]
    assert relative_position_table(table, 3)[:, :, 0].tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    assert relative_position_table(table, 2).shape == (2, 2, 1)


def test_layer_norm_2d_normalises_each_cell() -> None:
    out = LayerNorm2d(4)(torch.randn(1, 4, 2, 2) * 7 + 3)
    torch.testing.assert_close(out.mean(dim=1), torch.zeros(1, 2, 2), atol=1e-5, rtol=0)


def test_a_position_for_each_cell_is_used_as_it_is() -> None:
    positions = torch.randn(1, 3, 5, 4)
    assert resize_positions(positions, 3, 5) is positions


def test_a_position_table_loses_its_class_token_and_is_resized_bicubically() -> None:
    table = torch.randn(1, 1 + 16, 8)
    cells = table[:, 1:].view(1, 4, 4, 8)
    assert torch.equal(resize_positions(table, 4, 4), cells)
    expected = F.interpolate(cells.permute(0, 3, 1, 2), (6, 7), mode="bicubic")
    torch.testing.assert_close(resize_positions(table, 6, 7), expected.permute(0, 2, 3, 1))
    assert resize_positions(table.bfloat16(), 6, 7).dtype == torch.bfloat16


@torch.no_grad()
def test_sam_and_vitdet_share_the_transformer() -> None:
    """SAM's encoder is this body and a neck; with a table of the grid's size both are equal."""
    torch.manual_seed(0)
    numbers = {"width": 16, "depth": 2, "heads": 2, "global_blocks": (1,), "input_size": 64}
    encoder = SamImageEncoder(SamConfig(name="tiny", embed_channels=8, **numbers))
    encoder.pos_embed.normal_()
    table = torch.cat([torch.randn(1, 1, 16), encoder.pos_embed.flatten(1, 2)], dim=1)
    body = VisionTransformer(VitConfig(**numbers), table)
    shared = {k: v for k, v in encoder.state_dict().items() if k in body.state_dict()}
    body.load_state_dict({**shared, "pos_embed": table})
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(encoder(pixels), encoder.neck(body(pixels)))
