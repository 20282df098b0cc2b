import pytest
import torch
from torch.nn.functional import dropout

from ragqa.training.dropout import QuickDropout, quick_dropout


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_elements_are_dropped_with_their_probability_and_the_others_grow(kind: torch.dtype, p: float) -> None:
    torch.manual_seed(42)
    dropped = quick_dropout(torch.ones(101, 997, dtype=kind), p)
    assert dropped.dtype == kind
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    assert set(dropped.flatten().tolist()) == set(torch.tensor([0, 1 / (1 - p)], dtype=kind).tolist())
    every_fourth = (dropped.flatten()[: 4 * 25_000].view(-1, 4) == 0).float()
    assert every_fourth.mean(0).tolist() == pytest.approx([p] * 4, abs=0.02)
    if p == 0.5:
        assert torch.corrcoef(every_fourth.T).fill_diagonal_(0).abs().max() < 0.03


def test_the_gradient_goes_through_what_was_kept() -> None:
    ones = torch.ones(1000, requires_grad=True)
    dropped = quick_dropout(ones, 0.3)
    (gradient,) = torch.autograd.grad(dropped.sum(), ones)
    assert torch.equal(gradient, dropped.detach())


def test_the_same_seed_gives_the_same_mask() -> None:
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(quick_dropout(torch.ones(7, 3, 5), 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (1.0, True), (0.5, False)])
def test_where_nothing_is_drawn_it_is_torchs(p: float, training: bool) -> None:
    values = torch.arange(5.0)
    assert torch.equal(quick_dropout(values, p, training), dropout(values, p, training))
    assert quick_dropout(torch.empty(0, 4), 0.5).shape == (0, 4)


def test_a_probability_that_is_none_is_refused_as_torch_does() -> None:
    with pytest.raises(ValueError, match="dropout probability"):
        quick_dropout(torch.ones(3), 1.5)


def test_in_the_context_modules_and_functions_draw_so() -> None:
    layer, values = torch.nn.Dropout(0.5), torch.ones(1000)
    torch.manual_seed(42)
    expected = quick_dropout(values, 0.5)
    with QuickDropout():
        for drop in (layer, lambda x: dropout(x, p=0.5, training=True)):
            torch.manual_seed(42)
            assert torch.equal(drop(values), expected)
        assert torch.equal(layer.eval()(values), values)
    torch.manual_seed(42)
    assert not torch.equal(torch.nn.Dropout(0.5)(values), expected)
