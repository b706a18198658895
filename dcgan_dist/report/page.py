"""One page about one trained model: what it draws, what was measured, beside what the paper says."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.html_page import heading, page, paragraph, save_page
from dcgan_dist.cli.result_file import writing
from dcgan_dist.models.generator import Generator
from dcgan_dist.registry.identify import identify, open_generator
from dcgan_dist.report.report_options import ReportJob
from dcgan_dist.report.report_pictures import sample_pictures
from dcgan_dist.report.sections import order, read_results, section, values
from dcgan_dist.storage.copies import local_output
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun


def write_report(job: ReportJob, arguments: Sequence[str]) -> str:
    """Gather, write, keep in MLflow; returns the page's place.

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
        *sample_pictures(generator, identity, tracking_uri, job.seed),
        *(element for result in results for element in section(result)),
        heading("This page"),
        paragraph(Markup("Made by <code>{}</code>").format(command)),
    ]
    out = absolute(job.out, "out")
    out = out if out.endswith(".html") else f"{out.rstrip('/')}/report.html"
    with local_output(out, "out") as file:
        with writing(f"`out` {out}", "name another place"):
            save_page(page(f"Report on {identity['uri']}", *parts), file)
        if job.track:
            _track(job, tracking_uri, identity, file)
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


def _track(job: ReportJob, tracking_uri: str, identity: dict[str, Any], out: Path) -> None:
    params = {"model": identity["uri"], "seed": job.seed, "results": " ".join(job.results)}
    tags = environment_tags() | {"model": identity["uri"], "kind": "report"}
    run = TrackedRun.create(tracking_uri, job.experiment, f"report-{Path(identity['uri']).name}", params, tags)
    run.log_artifact(out)
    run.finish("FINISHED")
    print(f"kept in MLflow: {run.description}")
