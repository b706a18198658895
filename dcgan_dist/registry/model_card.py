"""What stands beside a registered network, for whoever finds it in the registry."""

from collections.abc import Mapping, Sequence
from typing import Literal

from dcgan_dist.config import ModelConfig, SupervisedConfig, TrainConfig, flatten

NOT_AVERAGED = (
    "weights of one step, not averaged: of the kept checkpoint with the least Frechet distance where it was measured"
)
LICENCE = "Licence of the training images"
SAMPLES = "samples.png"
LIMITS = """
## Limits

It knows what is in its training images, their gaps and biases too. Images made by it show nothing that exists; they may
resemble training images. It was made for research on representation learning; it was not tested for any other use.
"""


def model_card(
    *,
    kind: Literal["generator", "discriminator"],
    name: str,
    config: TrainConfig,
    images_seen: int,
    updates: tuple[int, int],
    manifest_hash: str,
    quality: Mapping[str, float],
) -> str:
    """Markdown: what the network is, where it comes from, how good it is, how to load it, what not to use it for.

    Args:
        kind: which of the two networks.
        name: its name in the registry.
        config: how it was trained.
        images_seen: real images that were drawn while it was trained.
        updates: optimiser steps of the discriminator and of the generator.
        manifest_hash: of the shards it was trained on.
        quality: metric key -> value at the time of export; empty where nothing was measured.
    """
    uri, model = f"models:/{name}@candidate", config.model
    averaged = "weights averaged over the run" if config.ema_half_life_images else NOT_AVERAGED
    return f"""# {name}

The {kind} of a DCGAN (Radford, Metz, Chintala, arXiv 1511.06434), preset `{config.preset}`, trained on {config.dataset}.
{shapes(kind, model)}

## Training

- {images_seen:,} real images seen; {updates[0]:,} updates of the discriminator, {updates[1]:,} of the generator
  (schedule `{config.schedule}`)
- manifest of the training images (their split of the shards) {manifest_hash}
- {averaged}
- batch normalisation: standing statistics, measured before export

## Quality

{_quality(quality)}

## {LICENCE}

Not recorded with the run: ask where they come from before you publish this model{" or what it draws" * (kind == "generator")}.

{_samples(kind)}## Use

With dcgan_dist, as a network with all its layers:

```python
import torch
from dcgan_dist import load_{kind}

{kind} = load_{kind}("{uri}", TRACKING_URI)  # the address of this server
{example(kind, model)}
```
{_command(kind, uri)}
{_elsewhere(kind, uri, model)}{LIMITS}"""


def _samples(kind: str) -> str:
    if kind == "discriminator":
        return ""
    return f"## Samples\n\n64 samples of seed 0, none picked, are in `extra_files/{SAMPLES}` among the files of this version.\n\n"


def _elsewhere(kind: str, uri: str, model: ModelConfig) -> str:
    """How to load it without this package, and what is different then."""
    return f"""Without dcgan_dist, as a graph for torch and mlflow alone (MLFLOW_TRACKING_URI names this server):

```python
import torch
from mlflow.pytorch import load_model

{kind} = load_model("{uri}")
{example(kind, model)}
```

Its mode is fixed: `eval()` and `train()` raise, and there are no layers to look at. Under `torch.no_grad()` it takes less memory.

Over HTTP, on this machine alone: `mlflow models serve --env-manager local --host 127.0.0.1 --model-uri {uri}` answers
`/invocations` to `{{"inputs": ...}}`.
"""


def _quality(quality: Mapping[str, float]) -> str:
    """Table of the figures, and what they can be compared with."""
    if not quality:
        return "Not measured."
    return f"""{_table("metric", quality)}

Frechet distances on random features compare runs of one data set and image size with each other, nothing else."""


def _table(heading: str, figures: Mapping[str, float]) -> str:
    rows = (f"| {key} | {value:.6g} |" for key, value in figures.items())
    return "\n".join([f"| {heading} | value |", "|---|---|", *rows])


def classifier_card(
    *,
    name: str,
    data: str,
    config: SupervisedConfig,
    search: str,
    quality: Mapping[str, float],
    deviations: Sequence[str],
) -> str:
    """The same for a supervised network that a search found.

    Args:
        name: its name in the registry.
        data: what it was trained and measured on, in one line.
        config: how it was trained.
        search: how the configuration was found, and which of its trainings this is.
        quality: figure -> value; errors in percent.
        deviations: from the paper's protocol, a phrase each.
    """
    fields = "\n".join(f"- `{path}` = {value}" for path, value in flatten(config).items() if "generator" not in path)
    size = config.classifier.model.image_size
    return f"""# {name}

A supervised network with the architecture of a DCGAN's discriminator (Radford, Metz, Chintala, arXiv 1511.06434): what the
architecture alone reaches with few labels. Maps images (n, {config.classifier.model.image_channels}, {size}, {size}) in
[-1, 1] to logits (n, {config.classifier.classes}), one per class.

## Training

- {data}
- {search}
- deviations from the paper: {"; ".join(deviations)}
- batch normalisation: standing statistics, measured over the training images

{fields}

## Quality

{_table("figure", quality)}

## Use

```python
from dcgan_dist import load_classifier

classifier = load_classifier("models:/{name}@candidate", TRACKING_URI)
classes = classifier(images).argmax(1)
```

## Limits

It knows digits of its own data set only, and is wrong as often as the table says. It was made to be compared with, not to
read house numbers.
"""


def shapes(kind: str, model: ModelConfig) -> str:
    """One sentence: what a network maps to what."""
    size, channels = model.image_size, model.image_channels
    prior = "uniform(-1, 1)" if model.latent_distribution == "uniform" else "N(0, 1)"
    values = "[-1, 1]" if model.output == "tanh" else "[0, 1]"
    images = f"images (n, {channels}, {size}, {size}) in {values}"
    labels = f", labels (n,) in [0, {model.classes})" if model.classes else ""
    if kind == "generator":
        return f"Maps z (n, {model.latent_dim}) from {prior}{labels} to {images}."
    return f"Maps {images}{labels} to logits (n,): positive means real. Its layers serve as features."


def example(kind: str, model: ModelConfig) -> str:
    """A line of Python that calls a loaded network."""
    labels = ", labels" if model.classes else ""
    if kind == "generator":
        return f"images = generator({latents(model, 'torch.')}{labels})"
    return f"logits = discriminator(images{labels})"


def latents(model: ModelConfig, library: str) -> str:
    """Python that draws 64 z from the prior with `torch.` or `np.random.`, whose functions have the same names."""
    uniform = model.latent_distribution == "uniform"
    return f"{library}rand(64, {model.latent_dim}) * 2 - 1" if uniform else f"{library}randn(64, {model.latent_dim})"


def _command(kind: str, uri: str) -> str:
    if kind == "discriminator":
        return ""
    return f"\n```sh\npython jobs/sample.py --model {uri} --tracking-uri TRACKING_URI --n 64 --out grid.png\n```\n"
