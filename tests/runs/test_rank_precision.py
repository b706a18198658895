"""In what precision ranks on CPUs compute."""

from typing import Any

import pytest
import torch

from dcgan_dist.config import replace
from dcgan_dist.presets import preset
from dcgan_dist.runs import rank_precision
from dcgan_dist.runs.rank_precision import decide_precision, fast_bfloat16


def test_a_cpu_with_either_instruction_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("amx_bf16", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {"avx2": True, name: True})
        assert fast_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert not fast_bfloat16()


@pytest.mark.parametrize(
    ("path", "value", "nodes", "expected"),
    [
        ("seed", 0, [True, True], "bfloat16"),
        ("seed", 0, [True, False], "float32"),
        ("deterministic", True, [True], "float32"),
        ("dtype", "float64", [True], "float32"),
        ("engine.precision", "float32", [True], "float32"),
        ("engine.precision", "bfloat16", [False], "bfloat16"),
        ("use_gpu", True, [False], "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_all_nodes_are_fast_at_it(
    monkeypatch: pytest.MonkeyPatch, path: str, value: Any, nodes: list[bool], expected: str
) -> None:
    monkeypatch.setattr(rank_precision, "_fast_nodes", lambda: nodes)

    assert decide_precision(replace(preset("demo32"), path, value)) == expected


def test_every_node_of_a_cluster_is_asked(ray_cluster: str) -> None:
    assert rank_precision._fast_nodes() == [fast_bfloat16()]
