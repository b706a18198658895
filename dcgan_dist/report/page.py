"""One page about one trained model: what it draws, what was measured, beside what the paper says."""

import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.html_page import figure, heading, page, paragraph, save_page
from dcgan_dist.errors import InputError
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.pictures import tile, to_uint8
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry.identify import identify, open_generator
from dcgan_dist.registry.lineage import sample_grids
from dcgan_dist.report.report_options import ReportJob
from dcgan_dist.report.sections import order, read_results, section, shrunk, values
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun

EPOCHS = (1, 5)
"""The paper's figures 2 and 3 show samples after one and after five epochs of LSUN."""
SAMPLES = 64


def write_report(job: ReportJob, arguments: Sequence[str]) -> Path:
    """Gather, write, keep in MLflow; returns the page's path.

    Raises:
        InputError: no such model, a result that cannot be read, or a place that cannot be written.
    """
    results = sorted(read_results(absolute(path, "results") for path in job.results), key=order)
    tracking_uri = absolute_tracking_uri(job.tracking_uri)
    generator = open_generator(job.model, tracking_uri)
    identity = identify(job.model, tracking_uri)
    command = shlex.join(["python", "jobs/report.py", *arguments])
    parts = [
        *_about(generator, identity),
        *_samples(generator, identity, tracking_uri, job.seed),
        *(element for result in results for element in section(result)),
        heading("This page"),
        paragraph(Markup("Made by <code>{}</code>").format(command)),
    ]
    out = Path(absolute(job.out, "out"))
    out = out if out.suffix == ".html" else out / "report.html"
    try:
        save_page(page(f"Report on {identity['uri']}", *parts), out)
    except OSError as error:
        raise InputError(f"`out` {out} cannot be written ({error.strerror}): name another place") from error
    if job.track:
        _track(job, tracking_uri, identity, out)
    return out


def _about(generator: Generator, identity: dict[str, Any]) -> list[Markup]:
    config = generator.config
    prior = "uniform(-1, 1)" if config.latent_distribution == "uniform" else "N(0, 1)"
    maps = [f"{m * config.generator_width}" for m in config.generator_maps]
    shape = {
        "images": f"{config.image_channels} x {config.image_size} x {config.image_size}",
        "z": f"{config.latent_dim} from {prior}",
        "maps": ", ".join(maps),
        "kernels": f"{config.kernel_size} x {config.kernel_size}",
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
    }
    return [
        paragraph(
            "Every image is drawn with standing batch normalisation statistics: it does not depend on its batch mates."
        ),
        heading("Model"),
        values({**{k: v for k, v in identity.items() if v}, "generator": shape}),
    ]


def _samples(generator: Generator, identity: dict[str, Any], tracking_uri: str, seed: int) -> list[Markup]:
    config = generator.config
    drawn = sample_images(generator, SAMPLES, seed=seed)
    buffer = io.BytesIO()
    tile(to_uint8(drawn, (-1.0 if config.output == "tanh" else 0.0, 1.0))).save(buffer, "PNG")
    parts = [
        heading("Samples"),
        paragraph(
            "The paper: figures 2 and 3 show LSUN bedrooms after one epoch, which already look like bedrooms, and after five, "
            "which show repeated textures as a sign of underfitting."
        ),
    ]
    grids = sample_grids(identity["run_id"], tracking_uri, EPOCHS) if identity.get("run_id") else []
    for grid in grids:
        caption = (
            f"Samples drawn in training after {grid.epoch:.1f} epochs ({grid.images_seen:,} images), with the statistics of the "
            f"sampled batch; run {identity['run_id']}."
        )
        parts.append(figure(shrunk(grid.png), caption))
    command = f"python jobs/sample.py --model {identity['asked_for']} --n {SAMPLES} --seed {seed} --out grid.png"
    caption = f"The first {SAMPLES} samples of {identity['uri']}, seed {seed}, none picked; {command}"
    return [*parts, figure(shrunk(buffer.getvalue()), caption)]


def _track(job: ReportJob, tracking_uri: str, identity: dict[str, Any], out: Path) -> None:
    params = {"model": identity["uri"], "seed": job.seed, "results": " ".join(job.results)}
    tags = environment_tags() | {"model": identity["uri"], "kind": "report"}
    run = TrackedRun.create(tracking_uri, job.experiment, f"report-{Path(identity['uri']).name}", params, tags)
    run.log_artifact(out)
    run.finish("FINISHED")
    print(f"kept in MLflow: {run.description}")
