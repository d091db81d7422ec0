import torch
import torch.nn.functional as F
from tiny import make_tiny_config

from ovsam.mask_decoder import FineMasks, MaskDecoder, read_masks


@torch.no_grad()
def test_masks_equal_transposed_convolutions_and_a_dot_product() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(make_tiny_config())
    for parameter in decoder.output_upscaling.parameters():
        parameter.normal_()
    image, hyper = torch.randn(2, 16, 16), torch.randn(2, 3, 2)
    upscaled = decoder.output_upscaling(image.transpose(1, 2).reshape(2, 16, 4, 4))
    expected = torch.einsum("nmc,nchw->nmhw", hyper, upscaled)
    actual = read_masks(decoder.output_upscaling, image, hyper, 4)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_details_are_added_where_the_up_scaling_reaches_their_stride() -> None:
    torch.manual_seed(0)
    config = make_tiny_config()
    decoder, fine = MaskDecoder(config), FineMasks(config.clip.channels, 16)
    for parameter in (*decoder.output_upscaling.parameters(), *fine.parameters()):
        parameter.normal_()
    stages = [torch.randn(1, config.clip.channels[i], 16 >> i, 16 >> i) for i in range(2)]
    image, hyper = torch.randn(2, 16, 16), torch.randn(2, 3, 2)
    first, norm, gelu, second, _ = decoder.output_upscaling
    half = first(image.transpose(1, 2).reshape(2, 16, 4, 4)) + fine.stride8(stages[1])
    quarter = gelu(second(gelu(norm(half))) + fine.stride4(stages[0]))
    expected = torch.einsum("nmc,nchw->nmhw", hyper, quarter)
    actual = read_masks(decoder.output_upscaling, image, hyper, 4, fine(stages))
    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_shared_image_equals_one_copy_a_prompt() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(make_tiny_config())
    image, positions = torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4)
    prompts = torch.randn(3, 2, 16)
    shared = decoder(image, positions, prompts)
    copied = decoder(image.repeat(3, 1, 1, 1), positions, prompts)
    for a, b in zip(shared, copied, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_transformer_equals_sams_definition() -> None:
    torch.manual_seed(0)
    transformer = MaskDecoder(make_tiny_config()).transformer
    tokens, image, positions = torch.randn(2, 5, 16), torch.randn(2, 16, 16), torch.randn(1, 16, 16)

    def attend(module, q, k, v):
        q, k, v = module.q_proj(q), module.k_proj(k), module.v_proj(v)
        parts = [x.unflatten(-1, (2, -1)).transpose(1, 2) for x in (q, k, v)]
        scores = parts[0] @ parts[1].transpose(-1, -2) / parts[0].shape[-1] ** 0.5
        return module.out_proj((scores.softmax(-1) @ parts[2]).transpose(1, 2).flatten(2))

    queries, keys = tokens, image
    for index, layer in enumerate(transformer.layers):
        if index == 0:
            queries = attend(layer.self_attn, queries, queries, queries)
        else:
            q = queries + tokens
            queries = queries + attend(layer.self_attn, q, q, queries)
        queries = layer.norm1(queries)
        attention = layer.cross_attn_token_to_image
        queries = layer.norm2(queries + attend(attention, queries + tokens, keys + positions, keys))
        hidden = F.relu(layer.mlp.lin1(queries))
        queries = layer.norm3(queries + layer.mlp.lin2(hidden))
        attention = layer.cross_attn_image_to_token
        keys = layer.norm4(keys + attend(attention, keys + positions, queries + tokens, queries))
    last = attend(transformer.final_attn_token_to_image, queries + tokens, keys + positions, keys)
    queries = transformer.norm_final_attn(queries + last)
    out_tokens, out_image = transformer(tokens, image, positions)
    torch.testing.assert_close(out_tokens, queries, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out_image, keys, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_no_prompts_give_no_masks() -> None:
    decoder = MaskDecoder(make_tiny_config())
    masks, labels = decoder(
        torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4), torch.zeros(0, 2, 16)
    )
    assert masks.shape == (0, 16, 16)
    assert labels.shape == (0, 16)
