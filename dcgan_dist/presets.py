"""One complete config per preset, with its source.

P: the paper (Radford, Metz, Chintala, arXiv 1511.06434v2). C: the authors' released code (Newmu/dcgan_code). O: neither
says, our choice. Batch 128, Adam 2e-4, beta1 0.5 and N(0, 0.02) are P; beta2, eps and the rest of `OptimizerConfig` C.
"""

from dataclasses import replace
from typing import Any

from dcgan_dist.config import (
    ClassifierConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    QualityConfig,
    SupervisedConfig,
    TrainConfig,
)
from dcgan_dist.errors import InputError, nearest


def _mirrored(*, width: int, maps: tuple[int, ...], strides: tuple[int, ...]) -> dict[str, Any]:
    """Fields of ModelConfig for a generator and the discriminator that is its mirror image, as in all networks of P and C."""
    return {
        "generator_width": width,
        "generator_maps": maps,
        "generator_strides": strides,
        "discriminator_width": width,
        "discriminator_maps": maps[::-1],
        "discriminator_strides": strides[::-1],
    }


# P fig. 1: 1024@4, 512@8, 256@16, 128@32, 3@64 and its mirror image, 5x5, stride 2.
LSUN64 = TrainConfig(
    preset="lsun64",
    dataset="lsun",
    model=ModelConfig(image_size=64),
    schedule="both",  # O: the co-author's Torch release, which trains LSUN, does so
    epochs=5,  # P fig. 3
)

# P 4.2; C faces/train_uncond_dcgan.py: one network per minibatch, 25 epochs, L2 1e-5.
FACES64 = TrainConfig(
    preset="faces64",
    dataset="faces",
    model=ModelConfig(image_size=64),
    data=DataConfig(crop="centre"),  # C: 64 px centre of 128 px faces
    schedule="alternate",
    epochs=25,
)

# C imagenet/: 3x3 kernels, G 512@4 512@8 256@8 256@16 128@16 128@32 3@32, D the other way round.
IMAGENET32 = TrainConfig(
    preset="imagenet32",
    dataset="imagenet",
    model=ModelConfig(
        image_size=32,
        latent_dim=256,
        kernel_size=3,
        **_mirrored(width=128, maps=(4, 4, 2, 2, 1, 1), strides=(2, 1, 2, 1, 2, 1)),
    ),
    epochs=30,
)

# C svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb, 200 epochs; z N(0, 1) by that name (O).
SVHN32 = TrainConfig(
    preset="svhn32",
    dataset="svhn",
    model=ModelConfig(
        image_size=32,
        latent_distribution="normal",
        **_mirrored(width=64, maps=(4, 2, 1), strides=(2, 2, 2)),
    ),
    optimizer_g=OptimizerConfig(lr=5e-4),
    optimizer_d=OptimizerConfig(lr=5e-4),
    data=DataConfig(batch_size=64),
    epochs=200,
)

# C mnist/train_cond_dcgan.py: labels at every layer, sigmoid, BN without gain and bias, rate falling from epoch 102.
_MNIST_ADAM = OptimizerConfig(weight_decay=2.5e-5, constant_epochs=101, decay_epochs=100)
MNIST28 = TrainConfig(
    preset="mnist28",
    dataset="mnist",
    model=ModelConfig(
        image_size=28,
        image_channels=1,
        generator_dense=(1024,),
        discriminator_dense=(1024,),
        **_mirrored(width=64, maps=(2, 1), strides=(2, 2)),
        norm_affine=False,
        output="sigmoid",
        classes=10,
    ),
    optimizer_g=_MNIST_ADAM,
    optimizer_d=_MNIST_ADAM,
    schedule="alternate",
    epochs=200,
)

# The PyTorch examples' variant, for comparison: 4x4 kernels, width 64, z N(0, 1), BN per map, no L2.
_EXAMPLES_ADAM = OptimizerConfig(weight_decay=0.0)
EXAMPLES64 = TrainConfig(
    preset="examples64",
    dataset="lsun",
    model=ModelConfig(
        image_size=64,
        latent_distribution="normal",
        generator_width=64,
        discriminator_width=64,
        kernel_size=4,
        norm_eps=1e-5,
        projection_norm="map",
    ),
    optimizer_g=_EXAMPLES_ADAM,
    optimizer_d=_EXAMPLES_ADAM,
    data=DataConfig(batch_size=64),
)

# For a first run on two CPU cores in minutes (O): examples64 with an eighth of its arithmetic.
DEMO32 = replace(
    EXAMPLES64,
    preset="demo32",
    dataset="rooms",
    model=replace(EXAMPLES64.model, image_size=32, **_mirrored(width=32, maps=(4, 2, 1), strides=(2, 2, 2))),
    quality=QualityConfig(samples=1000, held_out=1000),
    epochs=10,
)

# P 5.2: a purely supervised network of the same architecture. All else is O, and what the search looks for.
SVHN_SUPERVISED = SupervisedConfig(classifier=ClassifierConfig(model=SVHN32.model))

PRESETS = {config.preset: config for config in (LSUN64, FACES64, IMAGENET32, SVHN32, MNIST28, EXAMPLES64, DEMO32)}


def preset(name: str) -> TrainConfig:
    """The full config of a preset.

    Raises:
        InputError: no preset has that name; the most similar one is offered.
    """
    if name not in PRESETS:
        raise InputError(f"no preset {name!r}{nearest(name, list(PRESETS))}")
    return PRESETS[name]
