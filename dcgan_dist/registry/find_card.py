"""The card of a model by whatever names it, written anew where none is kept."""

from dcgan_dist.cli.command_line import absolute_tracking_uri
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.registry.export_card import Kind, plain_card
from dcgan_dist.registry.export_folder import CARD, is_export
from dcgan_dist.registry.load import describe_training
from dcgan_dist.registry.model_card import model_card
from dcgan_dist.registry.model_uri import in_registry
from dcgan_dist.registry.registry import MOST_CARD_BYTES, load_registered_card
from dcgan_dist.storage.copies import local_input
from dcgan_dist.training.schedule import updates
from dcgan_dist.training.whole_checkpoint import load_checkpoint
from dcgan_dist.untrusted import read_file


def find_card(model: str, tracking_uri: str, network: Generator | Discriminator) -> str:
    """Markdown about a network that was loaded by this name.

    Args:
        model: as `load_generator`.
        tracking_uri: as `load_generator`.
        network: what was loaded.

    Raises:
        InputError: the registry does not answer, or has no card of it.
    """
    if in_registry(model):
        return load_registered_card(model, absolute_tracking_uri(tracking_uri))
    kind: Kind = "generator" if isinstance(network, Generator) else "discriminator"
    with local_input(model, "model") as place:
        if is_export(place) and (place / CARD).is_file():
            return read_file(place / CARD, MOST_CARD_BYTES).decode(errors="replace")
        if (place / "checkpoint.json").is_file():
            config, progress, _ = load_checkpoint(place)
            return model_card(
                kind=kind,
                name=f"dcgan-{config.dataset}-{kind}",
                config=config,
                images_seen=progress.images_seen,
                updates=updates(config.schedule, progress.step),
                manifest_hash="that a checkpoint does not keep",
                quality={} if progress.frechet is None else {"quality/frechet_random": progress.frechet},
            )
    training = describe_training(model)
    return plain_card(
        name=f"dcgan-{kind}", kind=kind, config=network.config, training=f"{training[0].upper()}{training[1:]}."
    )
