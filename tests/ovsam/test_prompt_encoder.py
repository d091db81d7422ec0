import math

import pytest
import torch

from ovsam.prompt_encoder import PromptEncoder


@pytest.fixture
def encoder() -> PromptEncoder:
    torch.manual_seed(0)
    return PromptEncoder(8, 64)


def encode_by_definition(encoder: PromptEncoder, x: float, y: float) -> torch.Tensor:
    position = torch.tensor([(x + 0.5) / 64, (y + 0.5) / 64])
    angles = (
        2 * math.pi * ((2 * position - 1) @ encoder.pe_layer.positional_encoding_gaussian_matrix)
    )
    return torch.cat([angles.sin(), angles.cos()])


@torch.no_grad()
def test_a_box_is_two_corner_tokens(encoder) -> None:
    tokens = encoder(torch.tensor([[1.0, 2, 30, 40]]), None, None)
    first = encode_by_definition(encoder, 1, 2) + encoder.point_embeddings[2].weight[0]
    second = encode_by_definition(encoder, 30, 40) + encoder.point_embeddings[3].weight[0]
    torch.testing.assert_close(tokens, torch.stack([first, second])[None])


@torch.no_grad()
def test_a_point_brings_a_padding_token_unless_a_box_is_given(encoder) -> None:
    point, label = torch.tensor([[[5.0, 6]]]), torch.tensor([[1]])
    alone = encoder(None, point, label)
    expected = encode_by_definition(encoder, 5, 6) + encoder.point_embeddings[1].weight[0]
    torch.testing.assert_close(alone[0, 0], expected)
    torch.testing.assert_close(alone[0, 1], encoder.not_a_point_embed.weight[0])
    both = encoder(torch.tensor([[1.0, 2, 30, 40]]), point, label)
    assert both.shape == (1, 3, 8)
    torch.testing.assert_close(both[0, 0], alone[0, 0])


@torch.no_grad()
def test_negative_and_padding_points_have_their_own_embeddings(encoder) -> None:
    points = torch.tensor([[[5.0, 6], [5, 6], [9, 9]]])
    tokens = encoder(None, points, torch.tensor([[1, 0, -1]]))
    difference = encoder.point_embeddings[1].weight[0] - encoder.point_embeddings[0].weight[0]
    torch.testing.assert_close(tokens[0, 0] - tokens[0, 1], difference)
    torch.testing.assert_close(tokens[0, 2], encoder.not_a_point_embed.weight[0])


@torch.no_grad()
def test_grid_positions_are_cell_centres(encoder) -> None:
    grid = encoder.image_positions()
    assert grid.shape == (1, 8, 4, 4)
    # Cell (row 1, column 2) has its centre at pixel (40, 24); encode_by_definition adds 0.5 itself.
    torch.testing.assert_close(grid[0, :, 1, 2], encode_by_definition(encoder, 39.5, 23.5))


def test_masks_become_a_dense_embedding(encoder) -> None:
    assert encoder.encode_masks(torch.zeros(3, 16, 16)).shape == (3, 8, 4, 4)
    assert encoder.encode_masks(None).shape == (1, 8, 1, 1)
