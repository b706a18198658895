"""A network by whatever names it: the registry, a run, a folder, a file of PyTorch's example, or a preset."""

from pathlib import Path
from typing import TypeVar

from dcgan_dist.cli.command_line import absolute_tracking_uri
from dcgan_dist.config import ModelConfig
from dcgan_dist.errors import InputError, require
from dcgan_dist.models.authors_arrays import import_network, is_authors_folder
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.example_files import import_example
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import has_standing_statistics
from dcgan_dist.models.tensor_files import network_from
from dcgan_dist.presets import preset
from dcgan_dist.registry.export_folder import is_export, load_export
from dcgan_dist.registry.model_uri import in_registry
from dcgan_dist.registry.registry import load_registered
from dcgan_dist.registry.standing_cache import with_standing_statistics
from dcgan_dist.storage.copies import local_input
from dcgan_dist.training.whole_checkpoint import load_checkpoint
from dcgan_dist.untrusted import refusing

Network = TypeVar("Network", Generator, Discriminator)

UNTRAINED = "untrained:"
"""Before the name of a preset: its discriminator as it is before training."""


def load_generator(model: str, tracking_uri: str = "", *, standing: bool = True) -> Generator:
    """A generator in eval mode with standing statistics, on the CPU.

    >>> import torch
    >>> from dcgan_dist import load_generator
    >>> generator = load_generator("models:/dcgan-rooms-generator@candidate")
    >>> images = generator(torch.rand(4, 100) * 2 - 1)

    Args:
        model: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, or a path or URI: a checkpoint or snapshot folder,
            whose averaged generator is taken where it has one, a folder that the job `export` wrote with safetensors, a file
            netG_epoch_*.pth of PyTorch's DCGAN example, or a folder of the arrays that the paper's authors released for
            SVHN. These arrays, and a checkpoint in the middle of a run, have no standing statistics: they are then
            measured over 100 batches of 128 z of a fixed seed, once, and kept in the user's cache.
        tracking_uri: where the registry is; empty: $MLFLOW_TRACKING_URI or the default storage's database.
        standing: whether statistics that are not there are measured; without them only `mode="batch"` draws images.

    Raises:
        InputError: no such model, not a generator, damaged, or no answer.
    """
    require(
        not is_untrained(model), f"`model` {model} is a discriminator, and a generator is needed: name a trained model"
    )
    if in_registry(model):
        return load_registered(model, absolute_tracking_uri(tracking_uri), Generator)
    with local_input(model, "model") as path:
        generator = _from_path(path, Generator, ("generator_ema", "generator"))
    measured = not standing or has_standing_statistics(generator)
    return generator.eval() if measured else with_standing_statistics(generator)


def load_discriminator(model: str, tracking_uri: str = "", *, seed: int = 0) -> Discriminator:
    """A discriminator in eval mode, on the CPU.

    >>> import torch
    >>> from dcgan_dist import load_discriminator
    >>> discriminator = load_discriminator("models:/dcgan-rooms-discriminator@candidate")
    >>> logits = discriminator(torch.rand(4, 3, 32, 32) * 2 - 1)

    Args:
        model: as `load_generator`, or untrained:PRESET. From a checkpoint in the middle of a run, from the authors' arrays
            and before training it has no standing statistics yet, as these take real images.
        tracking_uri: as `load_generator`.
        seed: of the weights before training.

    Raises:
        InputError: no such model or preset, not a discriminator, damaged, or no answer.
    """
    if is_untrained(model):
        return untrained(Discriminator, preset(model.removeprefix(UNTRAINED)).model, seed=seed).eval()
    if in_registry(model):
        return load_registered(model, absolute_tracking_uri(tracking_uri), Discriminator)
    with local_input(model, "model") as path:
        return _from_path(path, Discriminator, ("discriminator",)).eval()


def load_classifier(model: str, tracking_uri: str = "") -> Classifier:
    """A supervised network that a search registered, in eval mode with standing statistics, on the CPU.

    >>> import torch
    >>> from dcgan_dist import load_classifier
    >>> classifier = load_classifier("models:/dcgan-svhn-supervised@candidate")
    >>> classes = classifier(torch.rand(4, 3, 32, 32) * 2 - 1).argmax(1)

    Args:
        model: models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID/classifier.
        tracking_uri: as `load_generator`.

    Raises:
        InputError: no such model, not a classifier, damaged, or no answer.
    """
    return load_registered(model, absolute_tracking_uri(tracking_uri), Classifier)


def is_untrained(model: str) -> bool:
    """Whether a model is named by a preset, as it is before training."""
    return model.startswith(UNTRAINED)


def untrained(network_class: type[Network], config: ModelConfig, *, seed: int) -> Network:
    """A network of this shape as it is before training."""
    network = network_class(config)
    initialise(network, std=config.init_std, generator=seeded(seed, f"random {network_class.__name__.lower()}"))
    return network


def describe_training(model: str) -> str:
    """One sentence: what a model was trained on and for how long, as far as its files say."""
    if is_untrained(model):
        return f"nothing: preset {model.removeprefix(UNTRAINED)} before training"
    if in_registry(model):
        return f"{model} (its card in the registry says on what it was trained)"
    with local_input(model, "model") as path:
        if is_authors_folder(path):
            return "the authors' release: trained on the images of SVHN's train split, 200 epochs"
        if path.is_file() or is_export(path):
            return "not known: its files do not say on what it was trained"
        config, progress, _ = load_checkpoint(path)
    return (
        f"preset {config.preset} on {config.dataset}, {progress.images_seen:,} images, schedule {config.schedule}, seed "
        f"{config.seed}" + (", in bfloat16" if config.engine.precision == "bfloat16" else "")
    )


def _from_path(path: Path, network_class: type[Network], names: tuple[str, ...]) -> Network:
    """The network of a file or folder; of a checkpoint the first of these names that it has."""
    if path.is_file():
        return import_example(path, network_class)
    if is_authors_folder(path):
        return import_network(path, network_class)
    return load_export(path, network_class) if is_export(path) else _from_checkpoint(path, network_class, names)


def _from_checkpoint(folder: Path, network_class: type[Network], names: tuple[str, ...]) -> Network:
    if not (folder / "checkpoint.json").is_file():
        raise InputError(
            f"`model` {folder} is neither models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, a file of "
            "PyTorch's example (netG_epoch_24.pth) nor a folder with a checkpoint (checkpoint.json), an export (model.safetensors) "
            "or the authors' arrays (gen_params_01.npy): name one of these"
        )
    config, _, state = load_checkpoint(folder)
    with refusing(f"the weights of checkpoint {folder} do not fit its config", "use another checkpoint"):
        weights = [state[name] for name in names if name in state]
        return network_from(network_class, config.model, weights[0] if weights else state[names[-1]])
