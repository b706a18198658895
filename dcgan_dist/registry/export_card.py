"""The card of an exported folder: that of the registry, with a picture and with how to load the folder."""

import re
from typing import Literal

from dcgan_dist.config import ModelConfig
from dcgan_dist.registry.model_card import LICENCE, LIMITS, SAMPLES, example, latents, shapes

Kind = Literal["generator", "discriminator"]

FRONT_MATTER = re.compile(r"\A---\n.*?^---\n+", re.M | re.S)


def plain_card(*, name: str, kind: Kind, config: ModelConfig, training: str) -> str:
    """The card of a network of which little is known.

    Args:
        name: the title.
        kind: which of the two networks.
        config: its shape.
        training: one sentence: on what and for how long it was trained.
    """
    return f"""# {name}

The {kind} of a DCGAN (Radford, Metz, Chintala, arXiv 1511.06434).
{shapes(kind, config)}

## Training

{training}
{LIMITS}"""


def export_card(
    card: str, *, kind: Kind, config: ModelConfig, file_format: Literal["safetensors", "onnx"], data_licence: str
) -> str:
    """README.md of an exported folder.

    Args:
        card: of the registry, of a checkpoint, or of another export.
        kind: which of the two networks.
        config: its shape.
        file_format: of the weights.
        data_licence: a sentence; empty: what the card says about it stays.
    """
    body = FRONT_MATTER.sub("", card)
    for heading in ("Samples", "Use", *([LICENCE] if data_licence else [])):
        body = re.sub(rf"^## {heading}\n.*?(?=^## |\Z)", "", body, flags=re.M | re.S)
    before, limits, after = body.partition("## Limits\n")
    sections = [
        f"## {LICENCE}\n\n{data_licence}\n\n" if data_licence else "",
        f"## Samples\n\n![64 samples of seed 0, none picked]({SAMPLES})\n\n" if kind == "generator" else "",
        f"## Use\n\n{_safetensors(kind, config) if file_format == 'safetensors' else _onnx(kind, config)}\n",
    ]
    task = "pipeline_tag: unconditional-image-generation\n" if kind == "generator" and not config.classes else ""
    front = f"---\nlibrary_name: dcgan_dist\n{task}tags:\n- dcgan\n- gan\n- {file_format}\n---\n\n"
    return front + before.rstrip("\n") + "\n\n" + "".join(sections) + limits + after


def _safetensors(kind: Kind, config: ModelConfig) -> str:
    samples = "dcgan sample --model FOLDER --n 64 --out grid.png\n" if kind == "generator" else ""
    return f"""With dcgan_dist, where FOLDER is this folder:

```python
import torch
from dcgan_dist import load_{kind}

{kind} = load_{kind}("FOLDER")
{example(kind, config)}
```

From a shell:

```sh
{samples}dcgan export --model FOLDER --network {kind} --format onnx --out as_onnx
```

The arrays alone, for a network of your own; `config.json` has the shape of the layers, which are named in their order:

```python
from safetensors.torch import load_file

arrays = load_file("FOLDER/model.safetensors")
```
"""


def _onnx(kind: Kind, config: ModelConfig) -> str:
    size, channels = config.image_size, config.image_channels
    outputs = "images," if kind == "generator" else "logits, features"
    labels = f', "labels": np.arange(64) % {config.classes}' if config.classes else ""
    if kind == "generator":
        rows = f"np.float32({latents(config, 'np.random.')})"
        name, shape = "z", f"[1, {config.latent_dim}]"
    else:
        rows, name, shape = "images", "images", f"[1, {channels}, {size}, {size}]"
    js_labels = ', labels: new ort.Tensor("int64", [0n], [1])' if config.classes else ""
    return f"""With ONNX Runtime, where FOLDER is this folder; any number of rows:

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("FOLDER/model.onnx")
{outputs} = session.run(None, {{"{name}": {rows}{labels}}})
```

In a browser, with onnxruntime-web:

```js
const session = await ort.InferenceSession.create("model.onnx");
const outputs = await session.run({{ {name}: new ort.Tensor("float32", values, {shape}){js_labels} }});
```

With dcgan_dist, from the model that this was exported from, or exported with `--format safetensors`: `load_{kind}`.
"""
