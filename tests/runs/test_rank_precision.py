"""In what precision ranks on CPUs compute."""

from typing import Any

import pytest
import torch

from dcgan_dist.config import replace
from dcgan_dist.presets import preset
from dcgan_dist.runs.rank_precision import decide_precision, fast_bfloat16, nodes_are_fast


def test_a_cpu_with_either_instruction_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("amx_bf16", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {"avx2": True, name: True})
        assert fast_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert not fast_bfloat16()


@pytest.mark.parametrize(
    ("path", "value", "is_fast", "expected"),
    [
        ("seed", 0, True, "bfloat16"),
        ("seed", 0, False, "float32"),
        ("deterministic", True, True, "float32"),
        ("dtype", "float64", True, "float32"),
        ("engine.precision", "float32", True, "float32"),
        ("engine.precision", "bfloat16", False, "bfloat16"),
        ("use_gpu", True, False, "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_all_nodes_are_fast_at_it(path: str, value: Any, is_fast: bool, expected: str) -> None:
    assert decide_precision(replace(preset("demo32"), path, value), lambda: is_fast) == expected


def test_nodes_are_fast_only_if_each_of_them_is(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nodes_are_fast() == fast_bfloat16()  # of one node, this machine
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert not nodes_are_fast()
